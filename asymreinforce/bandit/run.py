"""The stage of the theory bench: a grid of chains in, three parquet tables out.

    <directory>/<identity>/chains.parquet, traces.parquet, limits.parquet

`contracts.py` has the schemas of the tables. `asymreinforce.report.bandit.figures` draws figures
from the tables.
"""

from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import torch

from asymreinforce.bandit import tables, trajectory
from asymreinforce.bandit.closed_form import largest_stable_lr
from asymreinforce.bandit.config import BanditConfig, Batch, make_batches
from asymreinforce.bandit.contracts import BANDIT_CHAINS, TABLES
from asymreinforce.data import contracts
from asymreinforce.data.store import Store
from asymreinforce.errors import ConfigError
from asymreinforce.progress import Advance


class BanditRun(NamedTuple):
    """A finished bench: the directory of its tables, and the rows of BANDIT_CHAINS."""

    directory: Path
    chains: pa.Table


def chain_steps(config: BanditConfig) -> int:
    """Return the gradient steps of all chains together, the total of the progress bar."""
    return sum(batch.steps * batch.iterations * len(batch.chains) for batch in make_batches(config))


def run_bandit(
    config: BanditConfig, *, directory: Path, progress: Advance = lambda steps: None
) -> BanditRun:
    """Run every chain of a configuration and publish its tables under `directory`.

    A complete bench is not run again. `progress` gets the number of chain-steps as they are taken.
    Raises `ConfigError` if a learning rate is unstable, `StorageError` if the directory cannot be
    written.
    """
    identity = {
        "stage": "bandit",
        "settings": config.model_dump(mode="json"),
        "contracts": [contract.label for contract in TABLES.values()],
    }
    store = Store(directory, identity)
    plan = make_batches(config)
    for batch in plan:
        require_stable(batch, config)
    if store.is_done(TABLES):
        progress(chain_steps(config))
    else:
        with store.held():
            store.plan(TABLES)
            rows = _make_tables(plan, config, progress=progress)
            for name in store.missing():
                contracts.publish_table(store, name, TABLES[name], rows[name])
            store.close()
    chains = contracts.read_table(store.path("chains.parquet"), BANDIT_CHAINS)
    return BanditRun(store.directory, chains)


def require_stable(batch: Batch, config: BanditConfig) -> None:
    """Raise `ConfigError` if, at the learning rate, the exact update would leave its limit."""
    if batch.update != "asymre":
        return
    state = trajectory.start_state(batch, config)
    largest_C = largest_stable_lr(state.flow)
    unstable = (state.lr_C >= largest_C).nonzero()[:, 0].tolist()
    if unstable:
        chain = batch.chains[unstable[0]]
        raise ConfigError(
            f"bandit: lr={chain.lr:g} is unstable at baseline={chain.baseline:g}, "
            f"seed={chain.seed}: the update would oscillate about its limit; use "
            f"lr < {float(largest_C.min()):.4g}, which is stable for every chain of this sweep"
        )


def _make_tables(
    plan: list[Batch], config: BanditConfig, *, progress: Advance
) -> dict[str, pa.Table]:
    chains, traces, first_chain = [], [], 0
    with torch.no_grad():
        for batch in plan:
            result = trajectory.run_batch(batch, config, progress=progress)
            parts = tables.of_batch(result, first_chain=first_chain)
            chains.append(parts[0])
            traces.append(parts[1])
            first_chain += len(batch.chains)
        limits = tables.closed_forms(config)
    return {
        "chains.parquet": pa.concat_tables(chains),
        "traces.parquet": pa.concat_tables(traces),
        "limits.parquet": limits,
    }

"""Run `asymrl` in this process, on an experiment small enough for a test."""

import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from asymrl.main import main

from asymreinforce.data import contracts, files
from asymreinforce.data.checksums import SUMS
from asymreinforce.data.contracts import Contract
from asymreinforce.data.store import Store

EMBEDDED = (
    "policy.embedded.warm_up.questions=500",
    "policy.embedded.warm_up.steps=20",
    "policy.embedded.warm_up.lr_warmup_steps=2",
)
"""A warm-up of a second or two, after which hardly an answer is right."""

TINY = (
    "engine=transformers",
    "task.train=48",
    "task.validation=8",
    "task.held_out=12",
    "sampling.samples_per_prompt=4",
    "sampling.samples_per_block=2",
    "sampling.prompts_per_shard=16",
    "evaluation.train_prompts=8",
    "evaluation.sampling.samples_per_prompt=2",
    "reward.workers=1",
    "optim.trajectories_per_step=32",
    "optim.steps=4",
    "train.checkpoint_every=2",
    "train.diagnostics_every=2",
    "train.slice_prompts=4",
    "train.validation_prompts=8",
    "sweep.workers=1",
)
"""The embedded default, cut down: 48 prompts of 4 samples, 4 steps, checkpoints at 2 and 4."""

IN_PROCESS = "hydra/launcher=basic"
"""Arms one after the other in this process, which has imported torch already."""


class Outcome(NamedTuple):
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str


def asymrl(*arguments: str) -> Outcome:
    """Run a command; an error that nobody foresaw, and that only a log tells, is raised."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(list(arguments))
        except SystemExit as stop:
            assert "unexpected" not in err.getvalue(), err.getvalue()
            return Outcome(int(stop.code or 0), out.getvalue(), err.getvalue())
    raise AssertionError("main ends by SystemExit")


def tiny(command: str, runs_dir: Path, *settings: str) -> Outcome:
    """Run a command on the tiny experiment below `runs_dir`; later settings win."""
    return asymrl(command, f"runs_dir={runs_dir}", *TINY, *EMBEDDED, *settings)


def foreign(command: str, runs_dir: Path, policy: Path, *settings: str) -> Outcome:
    """Run a command on the tiny experiment with a checkpoint that `init` did not make.

    The directory may hold what another policy made: `--change` goes on beside that.
    """
    source = ("model=checkpoint", f"policy.source={policy}", "policy.dtype=float32")
    chosen = ("task=cups", "optim=embedded", "name=cups", "policy.context=64")
    tokens = ("sampling.max_tokens=16", "evaluation.sampling.max_tokens=16")
    return asymrl(
        command, f"runs_dir={runs_dir}", "--change", *TINY, *source, *chosen, *tokens, *settings
    )


def refused(outcome: Outcome, *words: str) -> str:
    """Assert exit code 1 and one message that holds all words; return it."""
    assert outcome.code == 1, outcome
    lines = outcome.err.splitlines()
    errors = [number for number, line in enumerate(lines) if line.startswith("error: ")]
    assert len(errors) == 1, outcome.err
    message = "\n".join(lines[errors[0] :])
    assert "Traceback" not in outcome.err + outcome.out
    for word in words:
        assert word in message, message
    return message


def published(directory: Path) -> dict[str, tuple[int, int]]:
    """Inode and modification time of every file below a directory but logs and known checksums."""
    return {
        str(path.relative_to(directory)): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in sorted(directory.rglob("*"))
        if path.is_file() and not {"logs", SUMS} & set(path.relative_to(directory).parts)
    }


def only(directory: Path) -> Store:
    """Open the one store below a stage's directory, such as `runs/cups/rollouts`."""
    (plan,) = directory.glob("*/plan.json")
    return Store.open(plan.parent)


def rewrite(store: Store, name: str, write: Callable[[Path], None]) -> None:
    """Publish a shard anew with the facts of the one that is there."""
    receipt = store.receipt(name)
    assert receipt
    store.publish(name, write, facts=receipt.facts)


def rewrite_rows(
    store: Store, name: str, contract: Contract, change: Callable[[list[dict[str, Any]]], Any]
) -> None:
    """Publish a shard's rows anew, changed, under a receipt that matches them."""
    rows = contracts.read_table(store.directory / name, contract).to_pylist()
    columns = {field: [row[field] for row in change(rows)] for field in contract.schema.names}
    # not contracts.table: what is written here may break the contract
    broken = pa.table(columns, schema=contract.schema)
    rewrite(
        store, name, lambda path: contracts.write_table(path, contract, broken, identity=store.hash)
    )


def relabel(store: Store, name: str, contract: Contract, *, version: int) -> None:
    """Publish a shard anew as of another version of its contract."""
    rows = contracts.read_table(store.directory / name, contract)
    other = contract._replace(version=version)
    rewrite(store, name, lambda path: contracts.write_table(path, other, rows, identity=store.hash))


def truncate(path: Path) -> None:
    """Cut a file in half, as a copy that was interrupted."""
    path.write_bytes(path.read_bytes()[: files.size_on_disk(path) // 2])

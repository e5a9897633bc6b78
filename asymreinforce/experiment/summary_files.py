"""The tables of a summary as files: their rows, and how they are published."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from asymreinforce.data import contracts, files
from asymreinforce.errors import AsymreinforceError
from asymreinforce.experiment.arms import TrainedArm


def arm_columns(arm: TrainedArm) -> dict[str, Any]:
    """Return the columns that name an arm."""
    return {
        "arm": arm.name,
        "algorithm": arm.config.algorithm.name,
        "baseline": arm.config.baseline,
        "baseline_reference": arm.config.baseline_reference,
        "seed": arm.config.seed,
        "policy_seed": arm.config.policy.seed,
        "sampling_seed": arm.config.sampling.seed,
    }


def contract_table(contract: contracts.Contract, rows: list[dict[str, Any]]) -> pa.Table:
    """Return rows as a table of a contract; what a row lacks is null."""
    names = contract.schema.names
    return contracts.make_table(contract, {name: [row.get(name) for row in rows] for name in names})


def publish_table(path: Path, contract: contracts.Contract, rows: pa.Table) -> None:
    """Write a table if it is not there already: a page that is newer than it tells the same."""
    if not _holds(path, contract, rows):
        files.publish_path(
            path, lambda target: contracts.write_table(target, contract, rows, identity="")
        )


def _holds(path: Path, contract: contracts.Contract, rows: pa.Table) -> bool:
    """Tell whether a file holds these rows; one that cannot be read does not."""
    try:
        return bool(contracts.read_table(path, contract).equals(rows))
    except (AsymreinforceError, OSError):
        return False

"""Build the tables of a summary and publish them as files."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from asymreinforce.data import contracts, files
from asymreinforce.errors import AsymreinforceError
from asymreinforce.experiment.arms import TrainedArm


def arm_columns(arm: TrainedArm) -> dict[str, Any]:
    """Return the columns that identify an arm."""
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
    """Return rows as a table of a contract; columns that a row lacks are null."""
    names = contract.schema.names
    return contracts.make_table(contract, {name: [row.get(name) for row in rows] for name in names})


def publish_table(path: Path, contract: contracts.Contract, rows: pa.Table) -> None:
    """Write a table unless the file holds the same rows already."""
    # an unchanged table keeps its time stamp, so that a newer page still counts as up to date
    if not _holds(path, contract, rows):
        files.publish_path(
            path, lambda target: contracts.write_table(target, contract, rows, identity="")
        )


def _holds(path: Path, contract: contracts.Contract, rows: pa.Table) -> bool:
    """Tell whether a file holds exactly these rows; False if the file cannot be read."""
    try:
        return bool(contracts.read_table(path, contract).equals(rows))
    except (AsymreinforceError, OSError):
        return False

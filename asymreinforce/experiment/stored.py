"""Find stored rollouts and the verdicts on them, whatever settings they were made with."""

from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from asymreinforce.data import contracts
from asymreinforce.data.store import Store
from asymreinforce.errors import InputError


class StoredSet(NamedTuple):
    """A set of rollouts of an experiment, with the sets of verdicts on it, the newest first."""

    directory: Path
    rollouts: Store
    verdicts: list[Store]


def find_set(directory: Path, *, rollouts: str | None = None) -> StoredSet:
    """Return the newest set of rollouts of an experiment, or the one whose name begins so.

    Raises `InputError` where there is none.
    """
    found = _stores(directory / "rollouts", rollouts)
    if not found:
        named = f" whose name begins with {rollouts}" if rollouts else ""
        raise InputError(
            f"{directory}: holds no rollouts{named}; run 'asymrl generate' or 'asymrl import', or "
            "point at an experiment's directory"
        )
    store = found[0]
    verdicts = [
        other
        for other in _stores(directory / "verdicts", None)
        if other.identity.get("rollouts") == store.hash
    ]
    return StoredSet(directory, store, verdicts)


def verdicts_of(stored: StoredSet, grader: str | None) -> Store | None:
    """Return the newest verdicts, or those of a grader; raises `InputError` where it gave none."""
    if grader is None:
        return stored.verdicts[0] if stored.verdicts else None
    for store in stored.verdicts:
        if grader_of(store) == grader:
            return store
    has = ", ".join(grader_of(store) for store in stored.verdicts) or "none"
    raise InputError(
        f"{stored.directory}: no verdicts of grader {grader} on {stored.rollouts.hash} (there are: "
        f"{has}); run 'asymrl score task.grader={grader}'"
    )


def grader_of(verdicts: Store) -> str:
    """Name the grader of a set of verdicts."""
    return str(verdicts.identity.get("grader", {}).get("name", "unknown"))


def all_verdicts(verdicts: Store) -> pa.Table:
    """Return every published verdict of a set."""
    names = [name for name in verdicts.planned if verdicts.receipt(name)]
    if not names:
        raise InputError(f"{verdicts.directory}: holds no verdicts; run 'asymrl score' again")
    return pa.concat_tables(contracts.read(verdicts.path(n), contracts.VERDICTS) for n in names)


def _stores(parent: Path, prefix: str | None) -> list[Store]:
    """Open the stores below a directory, the newest plan first."""
    plans = sorted(parent.glob("*/plan.json"), key=lambda path: -path.stat().st_mtime_ns)
    return [Store.open(p.parent) for p in plans if p.parent.name.startswith(prefix or "")]

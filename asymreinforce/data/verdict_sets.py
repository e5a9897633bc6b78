"""The sets of verdicts that a reward depends on: of the grader that says what is correct, and more.

Each grader has a set of its own, whose shards have the rollouts' names and rows, so that one is
made anew without the others. They are joined here, by prompt and sample.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from asymreinforce.data import contracts
from asymreinforce.data.rows import Scores
from asymreinforce.data.store import Store
from asymreinforce.errors import InputError

COLUMNS = ["prompt_id", "sample", "status", "score", "truncated"]
KEYS = ("prompt_id", "sample")
OTHERS = "verdicts of "
"""What stands before a further grader's name in identities and records."""

PathOf = Callable[[Store, str], Path]
"""Where a shard of a store lies, once it is known to be as its receipt says."""


class VerdictSets(NamedTuple):
    """Sets of verdicts on one set of rollouts."""

    own: Store
    """Of the grader that says what is correct."""
    others: Mapping[str, Store]
    """Of further graders of `reward.graders`, by name."""

    @property
    def by_name(self) -> dict[str, Store]:
        """All of them, by the names that they have in identities and records."""
        others = {f"{OTHERS}{name}": store for name, store in sorted(self.others.items())}
        return {"verdicts": self.own} | others

    def require_on(self, rollouts: Store) -> None:
        """Raise `InputError` if one of them judges other rollouts."""
        for store in self.by_name.values():
            if store.identity.get("rollouts") != rollouts.hash:
                raise InputError(
                    f"{store.directory}: holds verdicts on other rollouts than "
                    f"{rollouts.directory}; run 'asymrl score' for these"
                )

    def read_others(self, own: pa.Table, read: Callable[[Store], pa.Table]) -> dict[str, pa.Table]:
        """Return what further graders say of the rollouts of `own`, in the same order.

        Raises `InputError` if one has not a verdict for each of them.
        """
        tables = {name: read(store) for name, store in self.others.items()}
        for name, table in tables.items():
            require_same_rows(self.others[name], table, self.own, own)
        return tables


def require_same_rows(verdicts: Store, rows: pa.Table, other: Store, other_rows: pa.Table) -> None:
    """Raise `InputError` if verdicts are not on the rows of another set, one each in its order."""
    if not all(rows.column(key).equals(other_rows.column(key)) for key in KEYS):
        raise InputError(
            f"{verdicts.directory}: does not hold one verdict for each rollout of "
            f"{other.directory}; run 'asymrl score' again"
        )


def read_verdicts(
    verdicts: Store, names: Sequence[str], *, rollouts: Store, path_of: PathOf
) -> pa.Table:
    """Read shards of verdicts; raise `InputError` if one judges another version of its rollouts."""
    parts = []
    for name in names:
        path, receipt = path_of(verdicts, name), verdicts.receipt(name)
        judged = rollouts.receipt(name)
        if receipt and judged and receipt.facts["rollouts_sha256"] != judged.sha256:
            raise InputError(f"{path}: judges another version of {name}; run 'asymrl score'")
        parts.append(contracts.read_table(path, contracts.VERDICTS, columns=COLUMNS))
    return pa.concat_tables(parts)


def scores_of(verdicts: pa.Table) -> Scores:
    """Return the scores and statuses of rows of VERDICTS."""
    return Scores(
        verdicts.column("score").to_numpy(),
        verdicts.column("status").to_numpy(zero_copy_only=False),
    )

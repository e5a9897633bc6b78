"""The sets of verdicts that a reward depends on, one per grader.

The shards of each set have the rollouts' names and rows, so that one set can be made again without
the others. This module joins the sets by prompt and sample.
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
"""The prefix of a further grader's name in identities and records."""

PathOf = Callable[[Store, str], Path]
"""Returns the path of a store's shard after checking the shard against its receipt."""


class VerdictSets(NamedTuple):
    """Sets of verdicts on one set of rollouts."""

    own: Store
    """Verdicts of the grader that decides correctness."""
    others: Mapping[str, Store]
    """Verdicts of further graders of `reward.graders`, by the grader's name."""

    @property
    def by_name(self) -> dict[str, Store]:
        """All sets, by their names in identities and records."""
        others = {f"{OTHERS}{name}": store for name, store in sorted(self.others.items())}
        return {"verdicts": self.own} | others

    def require_on(self, rollouts: Store) -> None:
        """Raise `InputError` if a set judges other rollouts."""
        for store in self.by_name.values():
            if store.identity.get("rollouts") != rollouts.hash:
                raise InputError(
                    f"{store.directory}: holds verdicts on other rollouts than "
                    f"{rollouts.directory}; run 'asymrl score' for these"
                )

    def read_others(self, own: pa.Table, read: Callable[[Store], pa.Table]) -> dict[str, pa.Table]:
        """Return the verdicts of further graders on the rollouts of `own`, in the same order.

        Raises `InputError` if a grader lacks a verdict on one of the rollouts.
        """
        tables = {name: read(store) for name, store in self.others.items()}
        for name, table in tables.items():
            require_same_rows(self.others[name], table, self.own, own)
        return tables


def require_same_rows(verdicts: Store, rows: pa.Table, other: Store, other_rows: pa.Table) -> None:
    """Raise `InputError` unless two sets have the same prompts and samples in the same order."""
    if not all(rows.column(key).equals(other_rows.column(key)) for key in KEYS):
        raise InputError(
            f"{verdicts.directory}: does not hold one verdict for each rollout of "
            f"{other.directory}; run 'asymrl score' again"
        )


def read_verdicts(
    verdicts: Store, names: Sequence[str], *, rollouts: Store, path_of: PathOf
) -> pa.Table:
    """Read shards of verdicts; raises `InputError` if a shard judges an older shard of rollouts."""
    parts = []
    for name in names:
        path, receipt = path_of(verdicts, name), verdicts.receipt(name)
        judged = rollouts.receipt(name)
        if receipt and judged and receipt.facts["rollouts_sha256"] != judged.sha256:
            raise InputError(f"{path}: judges another version of {name}; run 'asymrl score'")
        parts.append(contracts.read_table(path, contracts.VERDICTS, columns=COLUMNS))
    return pa.concat_tables(parts)


def is_judged(verdicts: Store, rollouts: Store, name: str) -> bool:
    """Tell whether a shard's verdicts are whole, and of the current version of its rollouts."""
    receipt, judged = verdicts.receipt(name), rollouts.receipt(name)
    return (
        receipt is not None
        and judged is not None
        and receipt.facts.get("rollouts_sha256") == judged.sha256
        and verdicts.is_valid(name)
    )


def publish_verdicts(verdicts: Store, name: str, rows: pa.Table, *, rollouts: Store) -> None:
    """Publish a shard of verdicts with the checksum of its rollout shard."""
    judged = rollouts.receipt(name)
    if judged is None:
        raise InputError(f"{rollouts.directory / name}: vanished while it was judged")
    facts = {"rows": len(rows), "rollouts_sha256": judged.sha256}
    contracts.publish_table(verdicts, name, contracts.VERDICTS, rows, facts=facts)


def scores_of(verdicts: pa.Table) -> Scores:
    """Return the scores and statuses of a VERDICTS table."""
    return Scores(
        verdicts.column("score").to_numpy(),
        verdicts.column("status").to_numpy(zero_copy_only=False),
    )

"""Counts over imported rollouts."""

import itertools
from collections import Counter
from typing import Any, NamedTuple

from asymreinforce.data.store import Store
from asymreinforce.imported.group_by_prompt import ImportedPrompt, ImportedRow

Groups = list[tuple[ImportedPrompt, list[ImportedRow]]]


class Imported(NamedTuple):
    """The counts of an import: rows, prompts, groups, rewards, skipped rows and warnings."""

    rows: int
    prompts: int
    policies: dict[str, int]
    rewarded: int
    mean_reward: float | None
    with_logps: int
    truncated: int
    smallest_group: int
    largest_group: int
    groups_of_one: int
    held_back: int
    skipped: dict[str, int]
    warned: dict[str, int]
    round_trip_mismatches: int


def facts_of(store: Store) -> Imported:
    """Return the counts of a complete import."""
    return Imported(**{name: store.facts[name] for name in Imported._fields})


class ImportCounts:
    """Counts over the rollouts for training, updated one chunk of prompts at a time."""

    def __init__(self) -> None:
        self._policies: Counter[str] = Counter()
        self._sizes: Counter[int] = Counter()
        self.rewarded = self._with_logps = self._truncated = 0
        self._reward = 0.0

    def add(self, groups: Groups) -> None:
        """Add whole groups to the counts."""
        self._sizes.update(len(group) for _, group in groups)
        for row in itertools.chain.from_iterable(group for _, group in groups):
            self._policies[row.policy] += 1
            self.rewarded += row.reward is not None
            self._reward += row.reward or 0.0
            self._with_logps += row.logps is not None
            self._truncated += row.finish_reason == "length"

    def facts(self) -> dict[str, Any]:
        """Return the counts so far, under the field names of `Imported`."""
        return {
            "rows": self._policies.total(),
            "prompts": self._sizes.total(),
            "policies": dict(sorted(self._policies.items())),
            "rewarded": self.rewarded,
            "mean_reward": self._reward / self.rewarded if self.rewarded else None,
            "with_logps": self._with_logps,
            "truncated": self._truncated,
            "smallest_group": min(self._sizes),
            "largest_group": max(self._sizes),
            "groups_of_one": self._sizes[1],
        }

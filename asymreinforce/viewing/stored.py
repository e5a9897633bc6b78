"""Find stored rollouts and their verdicts in an experiment, independent of current settings."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from asymreinforce.config.experiment import IMPORTED
from asymreinforce.data import contracts, files
from asymreinforce.data.experiment_record import recorded_settings
from asymreinforce.data.shard_names import published_shards
from asymreinforce.data.store import Store
from asymreinforce.errors import InputError


class StoredSet(NamedTuple):
    """A set of rollouts of an experiment, with its sets of verdicts, newest first."""

    directory: Path
    rollouts: Store
    verdicts: list[Store]
    others: int
    """The number of other sets of rollouts in the experiment."""
    chosen_as: str
    """The reason why this set was chosen, in words."""


class LaterRound(NamedTuple):
    """A later round of an arm: its first step, and the name of its set of rollouts."""

    arm: str
    start: int
    rollouts: str


def find_set(
    directory: Path, *, rollouts: str | None = None, round_: int | None = None,
    arm: str | None = None,
) -> StoredSet:  # fmt: skip
    """Return a set of rollouts of an experiment.

    The default is the newest set that all arms share. `round_` chooses the set of a later round by
    the step at which the round began, with `arm` if several arms have such a round; `rollouts`
    chooses a set by the beginning of its name. Raises `InputError` if no set matches.
    """
    sets = _open_stores(directory / "rollouts")
    if not sets:
        raise InputError(
            f"{directory}: holds no rollouts; run 'asymrl generate' or 'asymrl import', or name "
            "the directory of an experiment"
        )
    store, words = _choose_rollouts(directory, sets, rollouts=rollouts, round_=round_, arm=arm)
    verdicts = [
        other
        for other in _open_stores(directory / "verdicts")
        if other.identity.get("rollouts") == store.hash
    ]
    return StoredSet(directory, store, verdicts, len(sets) - 1, words)


def _choose_rollouts(
    directory: Path, sets: list[Store], *, rollouts: str | None, round_: int | None,
    arm: str | None,
) -> tuple[Store, str]:  # fmt: skip
    if rollouts is not None:
        named = [store for store in sets if store.directory.name.startswith(rollouts)]
        if not named:
            raise InputError(
                f"{directory}: holds no rollouts whose name begins with {rollouts}; there are "
                + ", ".join(store.directory.name for store in sets[:12])
            )
        return named[0], "by name"
    rounds = later_rounds(directory)
    if round_:
        chosen = _choose_round(directory, rounds, start=round_, arm=arm)
        named = [store for store in sets if store.directory.name == chosen.rollouts]
        if not named:
            raise InputError(f"{directory / 'rollouts' / chosen.rollouts}: no longer exists")
        return named[0], f"round from step {round_} of arm {chosen.arm[:8]}"
    of_rounds = {later.rollouts for later in rounds}
    shared = [store for store in sets if store.directory.name not in of_rounds]
    if not shared:
        raise InputError(
            f"{directory}: holds only rollouts of later rounds; choose one with --round STEP"
        )
    return shared[0], "the newest that arms share" if len(shared) > 1 else "shared by all arms"


def _choose_round(
    directory: Path, rounds: list[LaterRound], *, start: int, arm: str | None
) -> LaterRound:
    matching = [
        later for later in rounds if later.start == start and later.arm.startswith(arm or "")
    ]
    if len(matching) == 1:
        return matching[0]
    if not matching:
        starts = (later.start for later in rounds if later.arm.startswith(arm or ""))
        known = ", ".join(map(str, sorted(set(starts))[:20])) or "none"
        raise InputError(f"{directory}: no round began at step {start}; later rounds: {known}")
    arms = ", ".join(later.arm for later in matching[:12])
    raise InputError(
        f"{directory}: {len(matching)} arms have a round from step {start}; add --arm with one of "
        f"{arms}"
    )


def later_rounds(directory: Path) -> list[LaterRound]:
    """Return the rounds of all arms except each arm's first, whose rollouts arms share."""
    rounds = []
    for path in sorted((directory / "train").glob("*/rounds/*.json")):
        record = files.read_json(path)
        if not isinstance(record, dict) or not {"start", "rollouts"} <= record.keys():
            raise InputError(f"{path}: not the record of a round; train the arm again")
        if record["start"]:  # the first round, from step 0, reads the shared set
            rounds.append(
                LaterRound(path.parents[1].name, int(record["start"]), str(record["rollouts"]))
            )
    return rounds


def verdicts_of(stored: StoredSet, grader: str | None) -> Store | None:
    """Return the verdicts of a grader; raises `InputError` if there are none.

    If `grader` is None, return the verdicts that decide what is correct (`own_verdicts`).
    """
    if grader is None:
        return own_verdicts(stored, recorded_settings(stored.directory))
    for store in stored.verdicts:
        if grader_of(store) == grader:
            return store
    has = ", ".join(grader_of(store) for store in stored.verdicts) or "none"
    raise InputError(
        f"{stored.directory}: no verdicts of grader {grader} on {stored.rollouts.hash} (there are: "
        f"{has}); run 'asymrl score task.grader={grader}'"
    )


def own_verdicts(stored: StoredSet, settings: Mapping[str, Any]) -> Store | None:
    """Return the verdicts that decide what is correct under flat settings, else the newest.

    These are the verdicts of the task's grader, or imported verdicts if training uses them.
    """
    facts, trained = stored.rollouts.facts, settings.get("source.verdicts")
    is_judged = facts.get("rewarded") is not None and facts["rewarded"] == facts["rows"]
    is_imported = trained == IMPORTED or (trained is None and is_judged)
    own = IMPORTED if is_imported else settings.get("task.grader")
    # not simply the newest, which may be the verdicts of a further grader
    by_own = [store for store in stored.verdicts if grader_of(store) == own]
    return next(iter([*by_own, *stored.verdicts]), None)


def grader_of(verdicts: Store) -> str:
    """Return the name of the grader of a set of verdicts."""
    return str(verdicts.identity.get("grader", {}).get("name", "unknown"))


def all_verdicts(verdicts: Store) -> pa.Table:
    """Return all published verdicts of a set; raises `InputError` if there are none."""
    names = published_shards(verdicts)
    if not names:
        raise InputError(f"{verdicts.directory}: holds no verdicts; run 'asymrl score' again")
    return contracts.read_shards(verdicts, names, contracts.VERDICTS)


def _open_stores(parent: Path) -> list[Store]:
    """Open the stores below a directory, the newest plan first."""
    plans = sorted(parent.glob("*/plan.json"), key=lambda path: -path.stat().st_mtime_ns)
    return [Store.open(path.parent) for path in plans]

"""Read what a round takes from the rounds before it: rollouts to replay, and mean rewards.

The arm's records of its rounds name these rollouts; the weights that drew them may be deleted.
"""

from typing import TYPE_CHECKING, Any

from asymreinforce.data import files
from asymreinforce.data.rollouts import ScoredRollouts
from asymreinforce.data.store import Store
from asymreinforce.data.verdict_sets import OTHERS
from asymreinforce.errors import InputError
from asymreinforce.experiment.open_arm import OpenArm
from asymreinforce.stages.train.schedule import Round, round_shard

if TYPE_CHECKING:
    from asymreinforce.stages.train.replay import EarlierRounds, RoundRollouts

RUNNING_MEAN = "running_mean"
"""Key of a round's record: the running mean of the mean rewards of the rounds so far."""


def earlier_rounds(arm: OpenArm, round_: Round, scored: ScoredRollouts) -> "EarlierRounds":
    """Return the rollouts and mean rewards that a round takes from the rounds before it.

    The earlier rounds are trained, and the record of `round_` is written. Raises `InputError` if
    rollouts of an earlier round were deleted.
    """
    from asymreinforce.stages.train.objective import reward_mean
    from asymreinforce.stages.train.replay import EarlierRounds

    replayed = _replayed_rounds(arm, round_)
    starts = [*(past.start for past in replayed), round_.start]
    if arm.config.baseline_reference == RUNNING_MEAN and round_.schedule.refresh_every:
        records = {start: _read_record(arm.store, start) for start in starts}
        means = {start: float(record[RUNNING_MEAN]) for start, record in records.items()}
        return EarlierRounds(replayed, means)
    if not replayed:
        return EarlierRounds()
    sets = [*(past.scored for past in replayed), scored]
    # one mean for each round: a group's critical value is V^mu of the policy that drew the group
    of_sets = [reward_mean(arm.config, rollouts) for rollouts in sets]
    known = {start: m for start, m in zip(starts, of_sets, strict=True) if m is not None}
    return EarlierRounds(replayed, known or None)


def recorded_facts(arm: OpenArm, round_: Round, scored: ScoredRollouts) -> dict[str, Any]:
    """Return the fields of a round's record that depend on replay and the baseline's reference."""
    facts: dict[str, Any] = {}
    config = arm.config
    if config.replay.capacity:
        replayed = _replayed_rounds(arm, round_)
        facts["replayed"] = [past.scored.names["rollouts"] for past in replayed]
    if config.baseline_reference == RUNNING_MEAN:
        from asymreinforce.algorithm.references import running_mean
        from asymreinforce.stages.train.objective import reward_mean

        mean, before = reward_mean(config, scored), None
        assert mean is not None
        if round_.number:
            before = _read_record(arm.store, round_.schedule.starts[round_.number - 1])[
                RUNNING_MEAN
            ]
        facts[RUNNING_MEAN] = running_mean(before, mean, decay=config.baseline_decay)
    return facts


def _replayed_rounds(arm: OpenArm, round_: Round) -> "list[RoundRollouts]":
    config = arm.config
    if not config.replay.capacity or not round_.start:
        return []
    from asymreinforce.stages.train.replay import RoundRollouts, rounds_to_read

    starts = round_.schedule.starts
    read_by_first = starts[1] * config.prompts_per_step
    return [
        RoundRollouts(
            number,
            starts[number],
            _rollouts_of(arm, starts[number]) if number else arm.inputs.scored,
            # round 0 counts only the groups that its steps read, not the whole shared set
            None if number else read_by_first,
        )
        for number in rounds_to_read(config, round_)
    ]


def _rollouts_of(arm: OpenArm, start: int) -> ScoredRollouts:
    """Open the rollouts of the round that began after step `start`, named in its record."""
    record, config = _read_record(arm.store, start), arm.config
    graders = [name.removeprefix(OTHERS) for name in record if name.startswith(OTHERS)]
    verdicts = config.directory / "verdicts"
    try:
        rollouts = Store.open(config.directory / "rollouts" / record["rollouts"])
        own = Store.open(verdicts / record["verdicts"])
        others = {name: Store.open(verdicts / record[f"{OTHERS}{name}"]) for name in graders}
    except InputError as error:
        raise InputError(
            f"{error}; the arm {arm.store.directory} replays it: put it back, or delete the arm's "
            "directory to train it again, or set replay.capacity=0"
        ) from error
    samples = config.sampling.samples_per_prompt
    return ScoredRollouts(rollouts, own, samples=samples, others=others)


def _read_record(store: Store, start: int) -> dict[str, Any]:
    record: dict[str, Any] = files.read_json(store.path(round_shard(start)))
    return record

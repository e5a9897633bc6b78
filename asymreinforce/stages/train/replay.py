"""The replay buffer of a round: groups of earlier rounds, added to the round's own rollouts.

`data/replay.py` decides which groups are held and drawn. This module reads these groups from the
stores of earlier rounds: rollouts, verdicts, and log-probabilities of the policies that drew them.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from asymreinforce.config import ExperimentConfig, RewardConfig
from asymreinforce.data.replay import (
    GroupName,
    HeldRounds,
    draw_groups,
    groups_of_round,
    held_rounds,
    is_kept_longer,
)
from asymreinforce.data.rollouts import ScoredRollouts
from asymreinforce.data.rows import Origins, Rows, concatenate_rows
from asymreinforce.rewards.scale import rewards_of, scale_rewards
from asymreinforce.stages.train.schedule import Round, Schedule
from asymreinforce.update.ranks import Ranks

KEPT_CHUNKS = 64
"""The number of chunks whose verdicts and lengths are kept in memory, without their tokens."""


class RoundRollouts(NamedTuple):
    """The rollouts on which an earlier round was trained."""

    number: int
    start: int
    """The number of steps before the round."""
    scored: ScoredRollouts
    prompts: int | None
    """The number of prompts of `scored` that the round's steps read; None for all."""


class EarlierRounds(NamedTuple):
    """The inputs that a round takes from earlier rounds."""

    replayed: Sequence[RoundRollouts] = ()
    """The rollouts of the rounds of which the replay buffer holds groups."""
    means: Mapping[int, float] | None = None
    """Start of a round -> mean reward, if the reference needs the means of several rounds."""


class ReplayBuffer:
    """Groups of earlier rounds, from which each step of a round draws some; empty in round 0.

    Tokens are read when a group is drawn. Raises `InputError` if rollouts of an earlier round are
    missing or damaged.
    """

    def __init__(
        self,
        config: ExperimentConfig,
        current: Round,
        earlier: Sequence[RoundRollouts],
        *,
        with_logps: bool,
        ranks: Ranks,
    ):
        self._config, self._current, self._with_logps = config, current, with_logps
        self._is_alone = ranks.count == 1
        self._earlier = {
            past.start: past._replace(scored=past.scored.shared_out(checked=ranks.is_first))
            for past in earlier
        }
        self._chunk = functools.lru_cache(maxsize=KEPT_CHUNKS)(self._read_chunk)
        self._leaving = set(_held(config, current).leaving)
        self.groups = [
            group for past in self._earlier.values() for group in self._held_groups(past)
        ]
        """The names of the groups in the buffer, the oldest first."""

    @property
    def fresh_prompts(self) -> int:
        """The number of groups of a step that are from the round itself."""
        config = self._config
        # round 0 has nothing to replay
        return config.fresh_prompts_per_step if self._current.start else config.prompts_per_step

    def add(self, step: int, fresh: Rows) -> Rows:
        """Return a step's own groups, followed by the groups that it draws from the buffer."""
        drawn = draw_groups(
            self.groups,
            seed=self._config.seed,
            step=step,
            count=self._config.prompts_per_step - self.fresh_prompts,
        )
        origins = _origins(len(fresh.prompts), self._current.number, self._current.start)
        return concatenate_rows([fresh._replace(origins=origins), *map(self._read, drawn)])

    def _held_groups(self, past: RoundRollouts) -> Iterator[GroupName]:
        seed, counts = self._config.seed, [past.scored.prompts_in(c) for c in past.scored.chunks]
        groups = groups_of_round(counts, start=past.start, seed=seed, prompts=past.prompts)
        if past.number not in self._leaving:
            yield from groups
            return
        bias = self._config.replay.positive_bias
        correct = set(_correct_places(past.scored, self._config.reward))
        for group in groups:
            if group[1:] in correct and is_kept_longer(group, seed=seed, positive_bias=bias):
                yield group

    def _read(self, group: GroupName) -> Rows:
        past = self._earlier[group.start]
        chunk, starts = self._chunk(group.start, group.chunk)
        rows = chunk.take(np.arange(starts[group.place], starts[group.place + 1]))
        origins = _origins(len(rows.prompts), past.number, past.start)
        if past.number in self._leaving:
            # such a group is held longer only for its correct completions
            origins = origins._replace(is_muted_B=~_correct(rows, self._config.reward))
        rows = rows._replace(origins=origins)
        # several ranks read only the tokens of their own rows, later
        return _with_tokens(rows) if self._is_alone else rows

    def _read_chunk(self, start: int, chunk: int) -> tuple[Rows, np.ndarray]:
        scored = self._earlier[start].scored
        rows = scored.read(scored.chunks[chunk], with_logps=self._with_logps)
        return rows, rows.group_starts


def is_replayed(config: ExperimentConfig, schedule: Schedule) -> bool:
    """Tell whether an arm replays: it has a buffer and more than one round."""
    return bool(config.replay.capacity and schedule.refresh_every)


def rounds_to_read(config: ExperimentConfig, current: Round) -> list[int]:
    """Return the numbers of the earlier rounds of which a round's buffer holds groups."""
    held = _held(config, current)
    return [*held.leaving, *held.whole]


def ages(origins: Origins, *, step: int, current: Round) -> dict[str, Any]:
    """Return the mean and largest age of a step's completions, in steps and in rounds.

    A completion's age in steps counts from the policy that drew it, like staleness: the age is 1 at
    the first step of the round for which the completion was drawn.
    """
    trained = ~origins.is_muted_B
    steps_B, rounds_B = step - origins.start_B[trained], current.number - origins.round_B[trained]
    return {
        "fresh_sequences": int((origins.start_B == current.start).sum()),
        "mean_age": float(steps_B.mean()) if len(steps_B) else None,
        "max_age": int(steps_B.max()) if len(steps_B) else None,
        "mean_age_rounds": float(rounds_B.mean()) if len(rounds_B) else None,
        "max_age_rounds": int(rounds_B.max()) if len(rounds_B) else None,
    }


def _held(config: ExperimentConfig, current: Round) -> HeldRounds:
    replay = config.replay
    return held_rounds(current.number, capacity=replay.capacity, positive_bias=replay.positive_bias)


def _origins(count: int, number: int, start: int) -> Origins:
    return Origins(np.full(count, number), np.full(count, start), np.zeros(count, dtype=bool))


def _correct(rows: Rows, reward: RewardConfig) -> np.ndarray:
    return scale_rewards(
        score_B=rows.score_B, status_B=rows.status_B, truncated_B=rows.truncated_B, config=reward
    ).correct_B


def _correct_places(scored: ScoredRollouts, reward: RewardConfig) -> Iterator[tuple[int, int]]:
    """Yield (chunk, place in the chunk) of each group with a rewarded, correct completion."""
    for chunk, verdicts in enumerate(scored.verdict_columns()):
        rewards = rewards_of(verdicts, reward)
        ids = pa.concat_arrays(verdicts.column("prompt_id").chunks)
        place_B = ids.dictionary_encode().indices.to_numpy()
        yield from ((chunk, int(p)) for p in np.unique(place_B[rewards.correct_B & rewards.kept_B]))


def _with_tokens(rows: Rows) -> Rows:
    """Replace the lazy tokens and log-probabilities of rows by arrays; read each prompt once."""
    read = {id(tokens): np.asarray(tokens) for tokens in rows.prompts}
    logps = rows.behaviour_logps
    return rows._replace(
        prompts=[read[id(tokens)] for tokens in rows.prompts],
        completions=[np.asarray(tokens) for tokens in rows.completions],
        behaviour_logps=None if logps is None else [np.asarray(values) for values in logps],
    )

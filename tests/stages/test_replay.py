"""The replay buffer of a round: which groups it holds and draws, against a plain list of them."""

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asymreinforce.config import ExperimentConfig
from asymreinforce.data.replay import GroupName, draw_groups
from asymreinforce.data.rollouts import ScoredRollouts
from asymreinforce.data.rows import Rows
from asymreinforce.stages.train.replay import (
    ReplayBuffer,
    RoundRollouts,
    ages,
    rounds_to_read,
)
from asymreinforce.stages.train.schedule import Round, Schedule
from asymreinforce.update.ranks import ALONE, Ranks
from tests.fixtures.experiments import small_config
from tests.fixtures.scored_sets import write_scored_set

ROUNDS, EVERY, PROMPTS, SAMPLES = 7, 3, 10, 4
"""Rounds of so many steps; their sets have two chunks, of 8 prompts and 2."""


class MadeRound(NamedTuple):
    """A round's rollouts, and what a plain reader finds in their files."""

    scored: ScoredRollouts
    rows: list[dict[str, Any]]
    """Rows of rollouts with the score of their verdict, chunk by chunk."""


@pytest.fixture(scope="module")
def made_rounds(tmp_path_factory: pytest.TempPathFactory) -> list[MadeRound]:
    parent = tmp_path_factory.mktemp("rounds")
    return [_made(parent / f"{number}", seed=number) for number in range(ROUNDS)]


def _made(place: Path, *, seed: int) -> MadeRound:
    stores = write_scored_set(
        place, prompts=PROMPTS, samples=SAMPLES, seed=seed, samples_per_block=2, policy=f"pi{seed}"
    )
    rows = []
    for chunk in ("p00000", "p00001"):
        files = [
            sorted(store.directory.glob(f"*{chunk}*.parquet"), key=lambda path: path.name)
            for store in stores
        ]
        rollouts, verdicts = (pa.concat_tables(map(pq.read_table, paths)) for paths in files)
        table = rollouts.append_column("score", verdicts.column("score"))
        ids = list(dict.fromkeys(table.column("prompt_id").to_pylist()))
        for row in table.to_pylist():
            rows.append(row | {"group": (int(chunk[1:]), ids.index(row["prompt_id"]))})
    return MadeRound(ScoredRollouts(*stores, samples=SAMPLES), rows)


def config_of(**replay: Any) -> ExperimentConfig:
    given = {f"replay__{name}": value for name, value in replay.items()}
    return small_config(Path("runs"), policy="mu", refresh_every=EVERY, **given)


def round_of(number: int) -> Round:
    return Round(Schedule(ROUNDS * EVERY, EVERY, None, EVERY), number * EVERY)


def buffer_of(
    config: ExperimentConfig, number: int, sets: list[MadeRound], *, ranks: Ranks = ALONE
) -> ReplayBuffer:
    current = round_of(number)
    earlier = [
        RoundRollouts(past, past * EVERY, sets[past].scored, None if past else 6)
        for past in rounds_to_read(config, current)
    ]
    return ReplayBuffer(config, current, earlier, with_logps=True, ranks=ranks)


class PlainEntry(NamedTuple):
    round: int
    group: tuple[int, int]
    is_correct: bool


def plain_buffer(
    sets: list[MadeRound], number: int, *, capacity: int, bias: float, seed: int
) -> list[PlainEntry]:
    """Push each round's groups as it ends, and drop what is too old then."""
    held: list[PlainEntry] = []
    for ended in range(number):
        correct = {row["group"] for row in sets[ended].rows if row["score"] >= 1}
        read = dict.fromkeys(row["group"] for row in sets[ended].rows)
        if not ended:
            order = sets[0].scored.batches(prompts=1, seed=seed)
            names = [next(order).prompt_id_B[0] for _ in range(6)]
            by_id = {row["prompt_id"]: row["group"] for row in sets[0].rows}
            read = dict.fromkeys(by_id[name] for name in names)
        held += [PlainEntry(ended, group, group in correct) for group in read]
        stays = []
        for entry in held:
            age = ended + 1 - entry.round
            text = f"kept/{seed}/{entry.round * EVERY}/{entry.group[0]}/{entry.group[1]}"
            lot = int(hashlib.sha256(text.encode()).hexdigest()[:16], 16) / 2**64
            is_spared = entry.is_correct and lot < bias and age <= 2 * capacity
            if age <= capacity or is_spared:
                stays.append(entry)
        held = stays
    return held


@given(
    capacity=st.integers(1, 4),
    bias=st.sampled_from([0.0, 0.3, 0.7, 1.0]),
    number=st.integers(0, ROUNDS - 1),
    seed=st.integers(0, 3),
)
@settings(max_examples=60)
def test_the_buffer_holds_what_a_plain_list_holds(
    made_rounds: list[MadeRound], capacity: int, bias: float, number: int, seed: int
) -> None:
    config = config_of(capacity=capacity, positive_bias=bias).model_copy(update={"seed": seed})
    buffer = buffer_of(config, number, made_rounds)
    expected = plain_buffer(made_rounds, number, capacity=capacity, bias=bias, seed=seed)
    found = [(group.start // EVERY, (group.chunk, group.place)) for group in buffer.groups]
    assert sorted(found) == sorted((entry.round, entry.group) for entry in expected)


@pytest.mark.parametrize("ranks", [ALONE, Ranks(1, 2)])
def test_a_step_reads_its_own_groups_and_then_whole_groups_of_the_rounds_that_drew_them(
    made_rounds: list[MadeRound], ranks: Ranks
) -> None:
    config = config_of(capacity=1, positive_bias=1.0, fresh_share=0.25)
    buffer = buffer_of(config, 4, made_rounds, ranks=ranks)
    fresh = next(made_rounds[4].scored.batches(prompts=1, seed=None, with_logps=True))
    policies: Counter[int] = Counter()
    for step in range(13, 16):
        rows = buffer.add(step, fresh)
        assert rows.origins is not None
        assert rows.group_starts.tolist() == [0, 4, 8, 12, 16]
        assert rows.origins.round_B[:4].tolist() == [4] * 4
        assert not rows.origins.is_muted_B[:4].any()
        for start in (4, 8, 12):
            number = int(rows.origins.round_B[start])
            assert rows.origins.start_B[start : start + 4].tolist() == [EVERY * number] * 4
            policies[number] += 1
            assert_is_group(rows, start, made_rounds[number], is_leaving=number == 2)
    assert policies.keys() == {2, 3}


def assert_is_group(rows: Rows, start: int, drawn_in: MadeRound, *, is_leaving: bool) -> None:
    """Four rows are a group as it stands in its round's files, with that policy's logps."""
    assert rows.origins is not None
    assert rows.behaviour_logps is not None
    stored = [row for row in drawn_in.rows if row["prompt_id"] == rows.prompt_id_B[start]]
    for place, row in enumerate(sorted(stored, key=lambda row: int(row["sample"])), start=start):
        assert rows.sample_B[place] == row["sample"]
        assert np.asarray(rows.prompts[place]).tolist() == row["prompt_token_ids"]
        assert np.asarray(rows.completions[place]).tolist() == row["completion_token_ids"]
        assert np.asarray(rows.behaviour_logps[place]).tolist() == row["behaviour_logps"]
        assert rows.score_B[place] == row["score"]
        assert rows.origins.is_muted_B[place] == (is_leaving and row["score"] < 1)


def test_round_0_has_nothing_to_replay(made_rounds: list[MadeRound]) -> None:
    buffer = buffer_of(config_of(capacity=2), 0, made_rounds)
    fresh = next(made_rounds[0].scored.batches(prompts=4, seed=0, with_logps=True))
    assert (buffer.groups, buffer.fresh_prompts) == ([], 4)
    assert buffer.add(1, fresh).prompt_id_B.tolist() == fresh.prompt_id_B.tolist()


GROUPS = [GroupName(0, 0, place) for place in range(12)]


def test_a_step_draws_each_group_equally_often_and_none_twice() -> None:
    drawn: Counter[GroupName] = Counter()
    for step in range(4000):
        of_step = draw_groups(GROUPS, seed=3, step=step, count=3)
        assert len(set(of_step)) == 3
        drawn.update(of_step)
    assert sum(drawn.values()) == 12_000
    assert all(abs(drawn[group] - 1000) < 4 * 27.4 for group in GROUPS)  # sqrt(4000 / 4 * 3 / 4)


def test_draws_follow_from_seed_and_step_and_not_from_where_a_group_stands() -> None:
    first = draw_groups(GROUPS, seed=3, step=7, count=4)
    assert draw_groups(GROUPS[::-1], seed=3, step=7, count=4) == first
    assert draw_groups(GROUPS, seed=3, step=8, count=4) != first
    assert draw_groups(GROUPS, seed=4, step=7, count=4) != first


def test_an_arm_that_holds_one_group_less_draws_the_others_alike() -> None:
    first = draw_groups(GROUPS, seed=3, step=7, count=4)
    others = [group for group in GROUPS if group != first[1]]
    assert draw_groups(others, seed=3, step=7, count=3) == [first[0], *first[2:]]


def test_too_few_groups_are_all_drawn_before_one_is_drawn_again() -> None:
    drawn = draw_groups(GROUPS[:2], seed=0, step=1, count=5)
    assert sorted(Counter(drawn).values()) == [2, 3]
    assert drawn[:2] == drawn[2:4]
    assert draw_groups([], seed=0, step=1, count=5) == []


def test_ages_are_of_the_completions_that_are_trained_on(made_rounds: list[MadeRound]) -> None:
    """One group of the round itself and one of three rounds before, of which two rows count."""
    origins = (
        buffer_of(config_of(capacity=1), 4, made_rounds)
        .add(14, next(made_rounds[4].scored.batches(prompts=1, seed=None, with_logps=True)))
        .origins
    )
    assert origins is not None
    origins = origins.take(np.arange(8))
    origins = origins._replace(
        round_B=np.array([4] * 4 + [1] * 4),
        start_B=np.array([12] * 4 + [3] * 4),
        is_muted_B=np.array([False] * 6 + [True] * 2),
    )
    assert ages(origins, step=14, current=round_of(4)) == {
        "fresh_sequences": 4,
        "mean_age": (4 * 2 + 2 * 11) / 6,
        "max_age": 11,
        "mean_age_rounds": 1.0,
        "max_age_rounds": 3,
    }

"""Reading rollouts with verdicts: whole groups, a seeded order, flat memory."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asymreinforce.data import contracts
from asymreinforce.data.rollouts import ScoredRollouts
from asymreinforce.data.shard_names import first_shards, shard_name
from asymreinforce.errors import InputError
from tests.fixtures.scored_sets import write_scored_set


def scored(tmp_path: Path, *, samples: int = 4, **settings: Any) -> ScoredRollouts:
    rollouts, verdicts = write_scored_set(tmp_path, prompts=20, samples=4, **settings)
    return ScoredRollouts(rollouts, verdicts, samples=samples)


def epoch(reader: ScoredRollouts, *, seed: int, prompts: int = 5, start: int = 0) -> list[str]:
    batches = itertools.islice(reader.batches(prompts=prompts, seed=seed, start=start), 4)
    return [str(name) for rows in batches for name in rows.prompt_id_B]


def test_an_epoch_holds_every_rollout_once(tmp_path: Path) -> None:
    reader = scored(tmp_path)
    rows = list(itertools.islice(reader.batches(prompts=5, seed=0), 4))
    keys = [(p, s) for r in rows for p, s in zip(r.prompt_id_B, r.sample_B, strict=True)]
    assert len(keys) == len(set(keys)) == 80


def test_a_batch_holds_whole_groups_across_shards(tmp_path: Path) -> None:
    reader = scored(tmp_path, prompts_per_shard=7)
    for rows in itertools.islice(reader.batches(prompts=5, seed=0), 12):
        assert np.bincount(rows.group_B).tolist().count(4) == 5
        for group in np.unique(rows.group_B):
            assert rows.sample_B[rows.group_B == group].tolist() == [0, 1, 2, 3]


def test_the_order_is_a_function_of_the_seed(tmp_path: Path) -> None:
    reader = scored(tmp_path)
    assert epoch(reader, seed=0) == epoch(reader, seed=0)
    assert epoch(reader, seed=0) != epoch(reader, seed=1)
    assert sorted(epoch(reader, seed=0)) == sorted(epoch(reader, seed=1))


def test_the_second_epoch_has_another_order(tmp_path: Path) -> None:
    reader = scored(tmp_path)
    assert epoch(reader, seed=0, start=4) != epoch(reader, seed=0)
    assert sorted(epoch(reader, seed=0, start=4)) == sorted(epoch(reader, seed=0))


@pytest.mark.parametrize("start", range(9))
def test_starting_later_gives_what_comes_later(tmp_path: Path, start: int) -> None:
    reader = scored(tmp_path, prompts_per_shard=6)
    whole = list(itertools.islice(reader.batches(prompts=3, seed=1), 12))
    late = list(itertools.islice(reader.batches(prompts=3, seed=1, start=start), 3))
    for left, right in zip(whole[start : start + 3], late, strict=True):
        assert left.prompt_id_B.tolist() == right.prompt_id_B.tolist()
        assert [c.tolist() for c in left.completions] == [c.tolist() for c in right.completions]


def test_blocks_of_samples_are_joined_into_groups(tmp_path: Path) -> None:
    one = scored(tmp_path / "one").read("00000.parquet")
    two = scored(tmp_path / "two", samples_per_block=2).read("00000.parquet")
    assert two.sample_B.tolist() == one.sample_B.tolist() == [0, 1, 2, 3] * 8


def test_the_first_k_samples_can_be_taken(tmp_path: Path) -> None:
    reader = scored(tmp_path, samples=3, samples_per_block=2)
    assert reader.read("00000.parquet").sample_B.tolist() == [0, 1, 2] * 8
    assert scored(tmp_path, samples=2, samples_per_block=2).shards == [
        shard_name(block=0, chunk=c) for c in range(3)
    ]


def test_more_samples_than_there_are_name_the_commands(tmp_path: Path) -> None:
    rollouts, _ = write_scored_set(tmp_path, prompts=4, samples=4)
    with pytest.raises(InputError, match="run 'asymrl generate' and 'asymrl score'"):
        first_shards(rollouts, samples=5)


def test_the_fingerprint_of_the_first_k_survives_more_samples(tmp_path: Path) -> None:
    rollouts, verdicts = write_scored_set(tmp_path, prompts=8, samples=2)
    before = ScoredRollouts(rollouts, verdicts, samples=2).fingerprint()
    for store in (rollouts, verdicts):
        store.plan([shard_name(block=1, chunk=0)])
    assert ScoredRollouts(rollouts, verdicts, samples=2).fingerprint() == before


def test_verdicts_on_other_rollouts_are_refused(tmp_path: Path) -> None:
    rollouts, _ = write_scored_set(tmp_path / "a", prompts=8, samples=2, seed=0)
    _, verdicts = write_scored_set(tmp_path / "b", prompts=8, samples=2, seed=1)
    with pytest.raises(InputError, match=r"verdicts on other rollouts.*run 'asymrl score'"):
        ScoredRollouts(rollouts, verdicts, samples=2)


def test_verdicts_of_another_version_of_a_shard_are_refused(tmp_path: Path) -> None:
    rollouts, verdicts = write_scored_set(tmp_path, prompts=8, samples=2)
    name = shard_name(block=0, chunk=0)
    rows = contracts.read_table(rollouts.path(name), contracts.ROLLOUTS)
    rollouts.publish(
        name,
        lambda path: contracts.write_table(path, contracts.ROLLOUTS, rows.slice(1), identity="x"),
        facts={"prompts": 8},
    )
    with pytest.raises(InputError, match="judges another version"):
        ScoredRollouts(rollouts, verdicts, samples=2).read("00000.parquet")


def test_rollouts_without_a_verdict_each_are_refused(tmp_path: Path) -> None:
    rollouts, verdicts = write_scored_set(tmp_path, prompts=8, samples=2)
    name = shard_name(block=0, chunk=0)
    receipt = verdicts.receipt(name)
    assert receipt
    rows = contracts.read_table(verdicts.path(name), contracts.VERDICTS)
    verdicts.publish(
        name,
        lambda path: contracts.write_table(path, contracts.VERDICTS, rows.slice(1), identity="x"),
        facts=receipt.facts,
    )
    with pytest.raises(InputError, match="does not hold one verdict for each rollout"):
        ScoredRollouts(rollouts, verdicts, samples=2).read("00000.parquet")


def test_texts_come_with_their_own_verdicts_and_only_the_samples_in_use(tmp_path: Path) -> None:
    rollouts, verdicts = write_scored_set(tmp_path, prompts=8, samples=4)
    scored = ScoredRollouts(rollouts, verdicts, samples=2)
    texts = [row for table in scored.texts() for row in table.to_pylist()]
    graded = {
        (row["prompt_id"], row["sample"]): row["score"]
        for table in scored.verdict_columns()
        for row in table.to_pylist()
    }
    assert len(texts) == len(graded) == 16
    assert {(row["prompt_id"], row["sample"]): row["score"] for row in texts} == graded

"""Summed rewards and the length term inside a step, against a loop in fp64."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from asymreinforce.data import contracts
from asymreinforce.data.rollouts import ScoredRollouts
from asymreinforce.data.store import Store
from asymreinforce.errors import InputError
from asymreinforce.stages.train.monitors import rule_of
from tests.fixtures import slow_trainer as naive
from tests.fixtures.experiments import small_config
from tests.fixtures.scored_sets import write_scored_set, write_shard
from tests.fixtures.tiny_arm import PROMPTS, SAMPLES, metrics, run_arm

OVERLONG = {"max_tokens": 5, "cache_tokens": 4, "weight": 0.5}
SUMMED: dict[str, Any] = {
    "reward__graders": ["mine:form", "final_answer"],
    "reward__weights": [0.25, 1.0],
    "reward__overlong": OVERLONG,
}


def other_verdicts(parent: Path, rollouts: Store, verdicts: Store, *, drop: int = 0) -> Store:
    """Verdicts of another grader on the same rollouts: every third is correct, a fifth failed."""
    other = Store(parent / "other", {"rollouts": rollouts.hash, "grader": {"name": "mine:form"}})
    other.plan(verdicts.planned)
    for name in verdicts.planned:
        columns = contracts.read_table(verdicts.path(name), contracts.VERDICTS).to_pydict()
        columns = {key: values[drop:] for key, values in columns.items()}
        rows = range(len(columns["score"]))
        columns["status"] = ["error" if row % 5 == 4 else "ok" for row in rows]
        columns["score"] = [None if row % 5 == 4 else float(row % 3 == 0) for row in rows]
        receipt = rollouts.receipt(name)
        assert receipt
        write_shard(other, name, contracts.VERDICTS, columns, PROMPTS, receipt.sha256)
    other.close()
    return other


@pytest.fixture
def stores(tmp_path: Path) -> tuple[Store, Store]:
    return write_scored_set(tmp_path / "set", prompts=PROMPTS, samples=SAMPLES, samples_per_block=2)


@pytest.fixture
def summed(tmp_path: Path, stores: tuple[Store, Store]) -> ScoredRollouts:
    other = other_verdicts(tmp_path, *stores)
    return ScoredRollouts(*stores, samples=SAMPLES, others={"mine:form": other})


def naive_rewards(rows: Any, scores: dict[Any, tuple[str, float | None]]) -> list[float | None]:
    """r = 1 own + 0.25 mine - 0.5 min(1, max(0, |y| - 1) / 4); None if one was not judged."""
    rewards: list[float | None] = []
    for row, completion in enumerate(rows.completions):
        status, score = scores[rows.prompt_id_B[row], rows.sample_B[row]]
        own = 1.0 if rows.score_B[row] == 1 else -1.0
        mine = 1.0 if score == 1 else -1.0
        lost = 0.5 * min(1.0, max(0, len(completion) - 1) / 4)
        rewards.append(None if status != "ok" else own + 0.25 * mine - lost)
    return rewards


def scores_of(store: Store) -> dict[Any, tuple[str, float | None]]:
    tables = [contracts.read_table(store.path(n), contracts.VERDICTS) for n in store.planned]
    return {
        (row["prompt_id"], row["sample"]): (row["status"], row["score"])
        for table in tables
        for row in table.to_pylist()
    }


def test_the_first_step_is_that_of_summed_rewards(
    tmp_path: Path, random_policy: Path, summed: ScoredRollouts
) -> None:
    """A = r - mean of the group + 0.1 of what every grader judged, divided by its number."""
    config = small_config(tmp_path / "runs", policy=random_policy, **SUMMED)
    rows = next(summed.batches(prompts=config.prompts_per_step, seed=config.seed))
    drawn = naive_rewards(rows, scores_of(Store.open(tmp_path / "other" / other_name(tmp_path))))
    kept = [row for row, reward in enumerate(drawn) if reward is not None]
    assert 8 < len(kept) < len(drawn) == 16
    reward_B = np.array([drawn[row] for row in kept], dtype=np.float64)
    group_B = rows.group_B[kept]
    advantage_B = reward_B + 0.1
    for group in {*group_B.tolist()}:
        advantage_B[group_B == group] -= reward_B[group_B == group].mean()
    model = naive.in_fp64(random_policy)
    with torch.no_grad():
        logps_B = np.array(
            [float(naive.token_logps(model, rows.prompts[r], rows.completions[r]).sum())
             for r in kept]
        )  # fmt: skip
    store = run_arm(config, random_policy, summed)
    step = metrics(store)[1]
    assert step["sequences"] == len(kept)
    assert step["reward"] == pytest.approx(reward_B.mean(), abs=1e-12)
    assert step["loss"] == pytest.approx(-np.mean(advantage_B * logps_B), rel=1e-4)
    assert store.identity["reward"]["graders"] == {"final_answer": 1.0, "mine:form": 0.25}


def other_name(tmp_path: Path) -> str:
    (plan,) = (tmp_path / "other").glob("*/plan.json")
    return plan.parent.name


def test_the_mean_of_all_chunks_reads_lengths_without_tokens(
    tmp_path: Path, random_policy: Path, summed: ScoredRollouts
) -> None:
    from asymreinforce.stages.train.objective import reward_mean

    config = small_config(
        tmp_path / "runs", policy=random_policy, baseline_reference="dataset_mean", **SUMMED
    )
    scores = scores_of(Store.open(tmp_path / "other" / other_name(tmp_path)))
    rewards = [r for c in summed.chunks for r in naive_rewards(summed.read(c), scores)]
    kept = [reward for reward in rewards if reward is not None]
    assert len(rewards) == PROMPTS * SAMPLES > len(kept)
    assert reward_mean(config, summed) == pytest.approx(np.mean(kept), abs=1e-12)


def test_ranks_that_read_lazily_see_the_same_verdicts(summed: ScoredRollouts) -> None:
    whole, lazy = (
        reader.read(summed.chunks[1]) for reader in (summed, summed.shared_out(checked=False))
    )
    (one,), (other,) = whole.others.values(), lazy.others.values()
    assert one.status_B.tolist() == other.status_B.tolist()
    np.testing.assert_array_equal(one.score_B, other.score_B)
    assert whole.judged.tokens_B is not None and lazy.judged.tokens_B is not None
    assert whole.judged.tokens_B.tolist() == lazy.judged.tokens_B.tolist()


def test_the_fingerprint_names_further_verdicts_and_those_alone(
    stores: tuple[Store, Store], summed: ScoredRollouts
) -> None:
    plain = ScoredRollouts(*stores, samples=SAMPLES)
    assert list(plain.fingerprint()) == list(plain.names) == ["rollouts", "verdicts"]
    (added,) = summed.fingerprint().keys() - plain.fingerprint().keys()
    assert added == "verdicts of mine:form"
    assert summed.fingerprint().items() >= plain.fingerprint().items()


def test_verdicts_on_other_rollouts_or_on_fewer_are_refused(
    tmp_path: Path, stores: tuple[Store, Store]
) -> None:
    fewer = other_verdicts(tmp_path, *stores, drop=1)
    scored = ScoredRollouts(*stores, samples=SAMPLES, others={"mine:form": fewer})
    with pytest.raises(InputError, match=f"{fewer.hash}: does not hold one verdict for each"):
        scored.read(scored.chunks[0])
    _, elsewhere = write_scored_set(tmp_path / "b", prompts=4, samples=SAMPLES, seed=1)
    with pytest.raises(InputError, match="holds verdicts on other rollouts"):
        ScoredRollouts(*stores, samples=SAMPLES, others={"mine:form": elsewhere})


def test_no_accuracy_is_read_off_rewards_that_are_not_two(
    tmp_path: Path, random_policy: Path
) -> None:
    more: tuple[dict[str, Any], ...] = ({}, SUMMED, {"reward__overlong": OVERLONG})
    rules = [rule_of(small_config(tmp_path, policy=random_policy, **given)) for given in more]
    assert [rule.reads_rewards for rule in rules] == [True, False, False]

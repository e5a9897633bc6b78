"""What is reported of an evaluation and of an arm, against numbers worked out by hand."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asymreinforce.config import RewardConfig
from asymreinforce.data import contracts
from asymreinforce.data.store import Store
from asymreinforce.errors import InputError
from asymreinforce.rewards.sums import (
    Sums,
    facts_of,
    read_sums,
    standard_error,
    stored_sums,
    sums_of,
)

REWARD = RewardConfig()


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write evaluated completions; what a row does not name is that of a right answer."""
    usual = {
        "tokens": 3,
        "finish_reason": "stop",
        "text": " Answer: 1",
        "status": "ok",
        "logp": -1.0,
        "score": 1.0,
        "extracted_answer": "1",
    }
    full = [usual | row for row in rows]
    names = contracts.EVALUATIONS.schema.names
    table = contracts.make_table(
        contracts.EVALUATIONS, {n: [row[n] for row in full] for n in names}
    )
    contracts.write_table(path, contracts.EVALUATIONS, table, identity="")
    return path


def read_evaluation(path: Path, reward: RewardConfig) -> Sums:
    return sums_of(contracts.read_table(path, contracts.EVALUATIONS), reward, where=str(path))


def row(prompt: str, sample: int, **values: Any) -> dict[str, Any]:
    return {"prompt_id": prompt, "sample": sample, **values}


WRONG = {"score": 0.0, "extracted_answer": "2"}


def test_the_standard_error_is_s_over_the_root_of_the_number_of_prompts() -> None:
    values_P = np.array([0.0, 0.0, 1.0, 1.0])
    # s^2 = 4 * 0.25 / 3, so s / sqrt(4) = sqrt(1/3) / 2
    assert standard_error(values_P) == pytest.approx(math.sqrt(1 / 3) / 2)
    assert standard_error(np.append(values_P, np.nan)) == pytest.approx(math.sqrt(1 / 3) / 2)
    assert standard_error(np.array([0.7])) == 0.0


def test_differences_are_paired_over_prompts() -> None:
    """Prompts differ much, and the arm is above mu by little on each: the pairs see it."""
    mu_P = np.array([0.0, 0.25, 0.5, 0.75])
    arm_P = mu_P + np.array([0.25, 0.25, 0.25, 0.0])
    # the differences have mean 3/16 and s^2 = (3 * (1/16)^2 + (3/16)^2) / 3 = 12/768
    assert standard_error(arm_P - mu_P) == pytest.approx(math.sqrt(12 / 768) / 2)
    unpaired = math.hypot(standard_error(arm_P), standard_error(mu_P))
    assert unpaired > 3 * standard_error(arm_P - mu_P)


def test_an_evaluation_is_read_as_by_hand(tmp_path: Path) -> None:
    path = written(
        tmp_path / "e.parquet",
        [
            row("a", 0, logp=-1.0, tokens=2),
            row("a", 1, logp=-2.0, tokens=4, **WRONG),
            row("b", 0, logp=-3.0, tokens=6, **WRONG),
            row("b", 1, logp=-4.0, tokens=8, **WRONG),
            row("c", 0, logp=-0.5, tokens=2),
            row("c", 1, logp=-1.5, tokens=2),
        ],
    )
    found = read_evaluation(path, REWARD)
    assert found.accuracy_P.tolist() == [0.5, 0.0, 1.0]
    assert found.accuracy == pytest.approx(0.5)
    assert found.accuracy_se == pytest.approx(0.5 / math.sqrt(3))
    assert found.k == 2
    assert found.pass_at_k == pytest.approx(2 / 3)  # a and c have a right one among two
    assert found.entropy == pytest.approx(12 / 6)
    assert found.length == pytest.approx(24 / 6)
    assert found.distinct_answers == pytest.approx((2 + 1 + 1) / 3)
    assert found.truncated == 0.0


def test_completions_that_could_not_be_judged_are_left_out(tmp_path: Path) -> None:
    """Prompt b has one judged sample, c none; k is the fewest judged samples of a judged prompt."""
    unjudged = {"status": "timeout", "score": None, "extracted_answer": None}
    path = written(
        tmp_path / "e.parquet",
        [
            row("a", 0),
            row("a", 1, **WRONG),
            row("b", 0),
            row("b", 1, **unjudged),
            row("c", 0, **unjudged),
            row("c", 1, **unjudged | {"status": "error"}),
        ],
    )
    found = read_evaluation(path, REWARD)
    assert found.accuracy_P[:2].tolist() == [0.5, 1.0]
    assert math.isnan(found.accuracy_P[2])
    assert found.accuracy == pytest.approx(0.75)
    assert found.k == 1
    assert found.pass_at_k == pytest.approx(0.75)  # at k = 1: 1/2 and 1
    as_wrong = read_evaluation(path, REWARD.model_copy(update={"unjudged": "incorrect"}))
    assert as_wrong.accuracy_P.tolist() == [0.5, 0.5, 0.0]
    assert as_wrong.k == 2


def test_no_answer_and_a_cut_off_completion_are_wrong(tmp_path: Path) -> None:
    path = written(
        tmp_path / "e.parquet",
        [
            row("a", 0, status="no_answer", score=None, extracted_answer=None),
            row("a", 1, finish_reason="length"),
            row("a", 2),
            row("a", 3),
        ],
    )
    found = read_evaluation(path, REWARD)
    assert found.accuracy_P.tolist() == [0.5]
    assert found.truncated == 0.25
    assert found.distinct_answers == 1.0
    assert found.pass_at_k == 1.0
    judged = read_evaluation(path, REWARD.model_copy(update={"truncated": "as_judged"}))
    assert judged.accuracy_P.tolist() == [0.75]


def test_an_unknown_log_probability_leaves_the_entropy_unknown(tmp_path: Path) -> None:
    path = written(tmp_path / "e.parquet", [row("a", 0), row("a", 1, logp=None)])
    assert read_evaluation(path, REWARD).entropy is None


def test_an_evaluation_without_a_judged_completion_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "e.parquet", [row("a", 0, status="timeout", score=None)])
    with pytest.raises(InputError, match=r"no completion could be judged; check the task's grader"):
        read_evaluation(path, REWARD)


MIXED = [
    row("a", 0),
    row("a", 1, **WRONG),
    row("b", 0, status="timeout", score=None),
    row("b", 1, finish_reason="length"),
]


def published(directory: Path, reward: RewardConfig, *, with_sums: bool = True) -> Store:
    """Publish an evaluation in a store, with its sums as a stage publishes them."""
    rows = contracts.read_table(written(directory / "rows.parquet", MIXED), contracts.EVALUATIONS)
    facts = facts_of(sums_of(rows, reward, where="rows"), reward) if with_sums else {}
    store = Store(directory, {"stage": "evaluations"})
    store.plan(["e.parquet"])

    def write(path: Path) -> None:
        contracts.write_table(path, contracts.EVALUATIONS, rows, identity=store.hash)

    store.publish("e.parquet", write, facts=facts)
    return store


def test_sums_in_a_receipt_are_those_of_the_rows_to_the_last_bit(tmp_path: Path) -> None:
    store = published(tmp_path, REWARD)
    receipt = store.receipt("e.parquet")
    kept = stored_sums(receipt.facts, REWARD) if receipt else None
    own = read_evaluation(store.path("e.parquet"), REWARD)
    assert kept and all(np.array_equal(one, other) for one, other in zip(kept, own, strict=True))  # type: ignore[arg-type]
    assert kept.accuracy_se == own.accuracy_se
    assert read_sums(store, "e.parquet", REWARD).right_P.tolist() == [1, 0]


def test_another_reward_scale_reads_the_rows_again(tmp_path: Path) -> None:
    store = published(tmp_path, REWARD)
    lenient = REWARD.model_copy(update={"truncated": "as_judged"})
    assert read_sums(store, "e.parquet", lenient).right_P.tolist() == [1, 1]
    (tmp_path / "older").mkdir()
    other = published(tmp_path / "older", REWARD, with_sums=False)
    assert read_sums(other, "e.parquet", REWARD).right_P.tolist() == [1, 0]


def test_the_sums_of_a_damaged_evaluation_are_not_believed(tmp_path: Path) -> None:
    store = published(tmp_path, REWARD)
    path = store.directory / "e.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(InputError, match="its checksum differs"):
        read_sums(store, "e.parquet", REWARD)

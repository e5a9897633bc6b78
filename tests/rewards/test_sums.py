"""pass@k and distinct@k against every subset of the samples; entropy; what is left out."""

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asymreinforce.config import RewardConfig
from asymreinforce.data import contracts, files
from asymreinforce.errors import InputError
from asymreinforce.rewards.counts import pass_at_k
from asymreinforce.rewards.sums import Sums, facts_of, seen_at_k, sums_of

REWARD = RewardConfig()


def evaluation(rows: Sequence[tuple[str, str, float | None]], **columns: Any) -> pa.Table:
    """(prompt, answer, score) a sample; the text repeats the answer."""
    prompts = [prompt for prompt, _, _ in rows]
    made = {
        "prompt_id": prompts,
        "sample": [prompts[:i].count(prompt) for i, prompt in enumerate(prompts)],
        "tokens": [3] * len(rows),
        "finish_reason": ["stop"] * len(rows),
        "text": [f" Answer: {answer}" for _, answer, _ in rows],
        "status": ["ok" if score is not None else "timeout" for _, _, score in rows],
        "score": [score for _, _, score in rows],
        "extracted_answer": [answer or None for _, answer, _ in rows],
        "logp": [-1.0 - i for i in range(len(rows))],
    }
    return contracts.make_table(contracts.EVALUATIONS, made | columns)


def sums(table: pa.Table) -> Sums:
    return sums_of(table, REWARD, where="here")


A = [("a", "1", 1.0), ("a", "1", 1.0), ("a", "2", 0.0), ("a", "3", 0.0)]
B = [("b", "7", 0.0), ("b", "7", 0.0), ("b", "7", 0.0), ("b", "7", 0.0)]


def test_the_curves_are_means_over_every_subset_of_the_samples() -> None:
    found = sums(evaluation([*A, *B]))
    for k in range(1, 5):
        subsets = list(itertools.combinations(A, k))
        right = np.mean([any(score for _, _, score in chosen) for chosen in subsets])
        distinct = np.mean([len({answer for _, answer, _ in chosen}) for chosen in subsets])
        assert found.pass_at_K[k - 1] == pytest.approx((right + 0) / 2)
        assert found.answers_at_K[k - 1] == pytest.approx((distinct + 1) / 2)
    assert (len(found.kept_P), found.k) == (2, 4)
    assert found.completions_at_K == found.answers_at_K


@given(st.integers(1, 30).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))))
def test_pass_at_k_is_that_of_the_binomials(sizes: tuple[int, int]) -> None:
    n, c = sizes
    found = seen_at_k(np.array([n]), np.array([c]), n)[0]
    assert found.tolist() == pytest.approx([pass_at_k(n=n, c=c, k=k) for k in range(1, n + 1)])


def test_entropy_is_the_mean_surprise_of_a_completion() -> None:
    assert sums(evaluation(A)).entropy == pytest.approx((1 + 2 + 3 + 4) / 4)
    unknown = evaluation(A, logp=[None] * 4)
    assert sums(unknown).entropy is None


@pytest.mark.parametrize("logp", [-math.inf, math.nan])
def test_an_entropy_that_is_not_finite_is_unknown(logp: float, tmp_path: Path) -> None:
    found = sums(evaluation(A, logp=[-1.0, logp, -3.0, -4.0]))
    assert found.entropy is None
    files.publish_json(tmp_path / "facts.json", facts_of(found, RewardConfig()))


def test_what_was_not_judged_is_left_out_and_shortens_the_curves() -> None:
    found = sums(evaluation([*A, *B[:2], ("b", "8", None)]))
    assert (found.k, len(found.pass_at_K)) == (2, 2)
    assert found.answers_at_K[1] == pytest.approx((1 + 5 / 6 + 1) / 2)


def test_a_completion_without_an_answer_adds_no_distinct_answer() -> None:
    found = sums(evaluation([("a", "", 0.0), ("a", "1", 1.0)]))
    assert found.answers_at_K == (0.5, 1.0)
    assert found.completions_at_K == (1.0, 2.0)
    assert sums(evaluation([("a", "", 0.0)])).answers_at_K == (0.0,)


def test_nothing_judged_is_an_error() -> None:
    with pytest.raises(InputError, match="no completion"):
        sums(evaluation([("a", "1", None)]))

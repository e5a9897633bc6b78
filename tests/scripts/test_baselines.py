"""The yardsticks are honest: each makes the gradient of the naive loss, at the cost it names."""

import copy
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

SCRIPTS = Path(__file__).parents[2] / "scripts"


class Bench(NamedTuple):
    """The modules that benchmarks share, a tiny model, and eight sequences of 3 to 24 tokens."""

    baselines: Any
    workloads: Any
    model: Any
    work: Any


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import baselines
    import workloads

    shape = workloads.Shape(32, 2, 64, 4, 2)
    lengths = workloads.log_normal_lengths(8, shortest=3, longest=24)
    work = workloads.workload(lengths, vocabulary=50)
    model = workloads.random_model(shape, vocabulary=50, context=64)
    return Bench(baselines, workloads, model, work)


def naive_gradient(bench: Bench) -> Tensor:
    """-(1/B) sum_i A_i log pi(y_i|x_i), a sequence at a time, in fp64."""
    model, (sequences, coefficients_B) = copy.deepcopy(bench.model).double(), bench.work
    loss = torch.zeros((), dtype=torch.float64)
    for prompt, completion, coefficient in zip(*sequences, coefficients_B, strict=True):
        ids_1T = torch.from_numpy(np.concatenate([prompt, completion]))[None]
        logps_TV = model(input_ids=ids_1T, use_cache=False).logits[0].log_softmax(-1)
        own_T1 = logps_TV[len(prompt) - 1 : -1].gather(1, torch.from_numpy(completion)[:, None])
        loss = loss - coefficient * own_T1.sum() / len(coefficients_B)
    torch.autograd.backward(loss)
    return gradient(model)


def gradient(model: Any) -> Tensor:
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters()]).double()


def distance(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize("name", ["padded", "length_sorted"])
@pytest.mark.parametrize("rows", [2, 3, 8])
def test_padded_baselines_make_the_naive_gradient(bench: Bench, name: str, rows: int) -> None:
    getattr(bench.baselines, name)(bench.model, *bench.work, rows=rows)
    assert distance(gradient(bench.model), naive_gradient(bench)) < 2e-6


@pytest.mark.parametrize("rows", [4, 8])
def test_trl_makes_the_naive_gradient_with_prompts_and_padding_skipped(
    bench: Bench, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not bench.baselines.has_trl():
        pytest.skip("TRL is not installed: make bench installs it")
    expected = naive_gradient(bench)
    step = bench.baselines.trl_rloo(bench.model, rows=rows)(*bench.work)
    projected = count_projected(monkeypatch)

    step()

    assert distance(gradient(bench.model), expected) < 2e-6
    assert sum(projected) == sum(completion for _, completion in bench.work.lengths)


def count_projected(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows by the tokens which TRL's head projects, call by call."""
    from trl.trainer import utils

    counts: list[int] = []
    real = utils._ChunkedLogProbFunction

    class Counting:
        @staticmethod
        def apply(hidden_ND: Tensor, *rest: Any) -> Any:
            counts.append(len(hidden_ND))
            return real.apply(hidden_ND, *rest)

    monkeypatch.setattr(utils, "_ChunkedLogProbFunction", Counting)
    return counts


def test_useful_operations_are_those_of_the_formula(bench: Bench) -> None:
    body = 2 * (2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 64)
    operations = bench.workloads.gradient_flops(bench.model, [(2, 3), (1, 1)])
    assert operations == 6 * body * (4 + 1) + 6 * 32 * 50 * 4 + 6 * 32 * 2 * (4 * 5 + 1 * 2)


def test_lengths_reach_both_ends_and_keep_a_third_for_the_prompt(bench: Bench) -> None:
    lengths = bench.workloads.log_normal_lengths(32)
    assert (min(lengths), max(lengths), sum(lengths)) == (50, 512, 5883)
    pairs = bench.workloads.workload(lengths, vocabulary=64).lengths
    assert sum(prompt for prompt, _ in pairs) / sum(lengths) == pytest.approx(1 / 3, abs=1e-3)

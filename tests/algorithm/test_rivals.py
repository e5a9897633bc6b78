"""Every objective's gradient against autograd of its formula, written naively in fp64."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch

from asymreinforce.algorithm.table import OBJECTIVES
from tests.fixtures import step_gradients as computed
from tests.fixtures import table_policy as naive
from tests.fixtures import whole_step_cases as whole
from tests.fixtures.rival_cases import awr_term, dro_term, gspo_term, nft_term, vespo_term

TOLERANCE = 1e-10
AGGREGATIONS = ("sequence_sum", "token_mean", "sequence_mean")


class Formula(NamedTuple):
    """An objective with its options, and the same from the paper."""

    term: naive.Term
    advantage: Callable[[list[float]], float] = naive.minus_mean
    reference: str = "group_mean"
    baseline: float = -0.1
    options: dict[str, float] = {}  # noqa: RUF012
    total: whole.Total | None = None
    """Of objectives that look at the whole step, in place of `term`."""


def taper(ratio: float, a: float) -> float:
    return min(ratio, 1.0) if a < 0 else 1.0


FORMULAS = {
    "asymre": Formula(naive.reinforce),
    "reinforce": Formula(naive.reinforce, naive.reward_itself, "zero", 0.3),
    "rloo": Formula(naive.reinforce, naive.minus_others, "leave_one_out", 0.0),
    "positives_only": Formula(naive.reinforce, naive.is_correct, baseline=0.0),
    "asymmetric": Formula(
        lambda pi, mu, a: naive.reinforce(pi, mu, 0.3 * max(a, 0) - 0.8 * max(-a, 0) + 0.2),
        options={"positive_weight": 0.3, "negative_weight": 0.8, "imitation": 0.2},
    ),
    "opmd_mean": Formula(
        lambda pi, mu, a: naive.reinforce(pi, mu, a) / (1 + 0.7), options={"tau": 0.7}
    ),
    "opmd_kimi": Formula(naive.kimi(0.3), options={"tau": 0.3}),
    "grpo": Formula(
        naive.clipped(0.2, 0.28),
        naive.standard_score,
        options={"clip_low": 0.2, "clip_high": 0.28},
    ),
    "dr_grpo": Formula(
        naive.clipped(0.2, 0.2), baseline=0.0, options={"clip_low": 0.2, "clip_high": 0.2}
    ),
    "dapo": Formula(
        naive.clipped(0.2, 0.28),
        naive.standard_score,
        options={"clip_low": 0.2, "clip_high": 0.28},
    ),
    "gspo": Formula(
        gspo_term(0.2, 0.1), naive.standard_score, options={"clip_low": 0.2, "clip_high": 0.1}
    ),
    "dro": Formula(dro_term(0.4), options={"tau": 0.4}),
    "vespo": Formula(
        vespo_term((2.0, 1.5), (3.0, 2.0)),
        naive.standard_score,
        options={
            "positive_power": 2.0,
            "positive_decay": 1.5,
            "negative_power": 3.0,
            "negative_decay": 2.0,
        },
    ),
    "nft": Formula(
        nft_term(0.5), naive.correctness, baseline=0.0, options={"likelihood_floor": 0.5}
    ),
    "m2po": Formula(
        naive.reinforce,
        naive.standard_score,
        baseline=0.0,
        options={"second_moment_limit": 0.1},
        total=whole.m2po(0.1),
    ),
    "dpo": Formula(
        naive.reinforce,
        naive.correctness,
        baseline=0.0,
        options={"tau": 0.3},
        total=whole.dpo(0.3),
    ),
    "awr": Formula(awr_term(0.7, 1.5), options={"tau": 0.7, "weight_limit": 1.5}),
    "ppo": Formula(naive.clipped(0.1, 0.3), options={"clip_low": 0.1, "clip_high": 0.3}),
    "cispo": Formula(
        naive.token_weighted(lambda ratio, a: max(0.5, min(1.3, ratio))),
        naive.standard_score,
        options={"clip_low": 0.5, "clip_high": 0.3},
    ),
    "tis": Formula(
        naive.sequence_weighted(lambda ratio, a: min(ratio, 1.5)), options={"weight_limit": 1.5}
    ),
    "tis_token": Formula(
        naive.token_weighted(lambda ratio, a: min(ratio, 1.5)), options={"weight_limit": 1.5}
    ),
    "topr": Formula(naive.sequence_weighted(taper), naive.reward_itself, "zero", 0.0),
    "topr_token": Formula(naive.token_weighted(taper), naive.reward_itself, "zero", 0.0),
    "asymre_reverse_kl": Formula(naive.reverse_kl(0.2), options={"kl_coefficient": 0.2}),
}


def both(name: str, seed: int, *, aggregation: Any, micro_batches: int = 1) -> Any:
    """(the gradient as a step computes it, the gradient of the formula)."""
    formula = FORMULAS[name]
    behaviour, sequences = naive.logits(seed), naive.batch(seed + 100)
    table = (behaviour + naive.logits(seed + 200, scale=0.8)).requires_grad_()
    computed_loss = computed.loss(
        table,
        behaviour,
        sequences,
        name=name,
        baseline=formula.baseline,
        reference=formula.reference,
        aggregation=aggregation,
        micro_batches=micro_batches,
        **formula.options,
    )
    if formula.total:
        of_step = whole.loss(
            table,
            behaviour,
            sequences,
            total=formula.total,
            advantage=formula.advantage,
            aggregation=aggregation,
        )
        return computed.gradient(table, computed_loss), computed.gradient(table, of_step)
    written = naive.loss(
        table,
        behaviour,
        sequences,
        term=formula.term,
        advantage=formula.advantage,
        baseline=formula.baseline,
        aggregation=aggregation,
    )
    return computed.gradient(table, computed_loss), computed.gradient(table, written)


def test_every_objective_of_the_table_has_its_formula_here() -> None:
    assert FORMULAS.keys() == OBJECTIVES.keys()


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("name", FORMULAS)
def test_the_gradient_is_that_of_the_formula(name: str, aggregation: str) -> None:
    for seed in range(3):
        found, expected = both(name, seed, aggregation=aggregation)
        assert float(expected.abs().max()) > 1e-3
        assert float((found - expected).abs().max()) <= TOLERANCE


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("name", FORMULAS)
def test_no_gradient_depends_on_how_a_step_is_cut_up(name: str, aggregation: str) -> None:
    whole, _ = both(name, 7, aggregation=aggregation)
    for parts in (2, 5, 12):
        cut, _ = both(name, 7, aggregation=aggregation, micro_batches=parts)
        assert float((whole - cut).abs().max()) <= 1e-14


def test_the_clips_are_met_on_both_sides_in_these_tests() -> None:
    """Otherwise the comparisons above would hold for objectives that do not clip."""
    behaviour, sequences = naive.logits(0), naive.batch(100)
    table = behaviour + naive.logits(200, scale=0.8)
    ratio_C = (naive.token_logps(table, sequences) - naive.token_logps(behaviour, sequences)).exp()
    assert float((ratio_C < 0.5).double().mean()) > 0.03
    assert float((ratio_C < 0.8).double().mean()) > 0.1
    assert float((ratio_C > 1.3).double().mean()) > 0.1


def test_weights_of_sequences_far_from_mu_neither_overflow_nor_make_nan() -> None:
    """exp(2000) is no number; a truncated weight is its limit."""
    sequences = naive.batch(3)
    behaviour, table = naive.logits(1), naive.logits(1) + naive.logits(2, scale=900)
    table.requires_grad_()
    cases: dict[str, dict[str, Any]] = {"tis": {"weight_limit": 2.0}, "topr": {}, "cispo": {}}
    for name, options in cases.items():
        reference = "zero" if name == "topr" else "group_mean"
        value = computed.loss(
            table, behaviour, sequences, name=name, reference=reference, **options
        )
        assert torch.isfinite(computed.gradient(table, value)).all()

"""The functions of `ratio.py` by hand, and each gradient against its formula in a naive loop."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from asymreinforce.algorithm import linear, ratio
from asymreinforce.algorithm.groups import standardised_advantages
from asymreinforce.algorithm.tokens import TokenLogps
from asymreinforce.errors import ConfigError
from tests.fixtures import table_policy as naive
from tests.fixtures.rival_cases import (
    Losses,
    awr_term,
    centred,
    drawn,
    dro_term,
    gspo_term,
    same_gradient,
    step_loss,
)
from tests.fixtures.step_gradients import gradient

TOLERANCE = 1e-10


def awr_losses(tokens: TokenLogps, **options: float) -> Tensor:
    """A linear objective as the loss of each sequence."""
    return -linear.awr(tokens.advantages_B, tokens.advantages_B > 0, **options) * tokens.logp_B


FORMULAS: dict[str, tuple[Losses, naive.Term, Callable[[list[float]], float], dict[str, float]]] = {
    "gspo": (
        ratio.gspo,
        gspo_term(0.2, 0.1),
        naive.standard_score,
        {"clip_low": 0.2, "clip_high": 0.1},
    ),
    "gspo, its own clip": (
        ratio.gspo,
        gspo_term(3e-4, 4e-4),
        naive.standard_score,
        {"clip_low": 3e-4, "clip_high": 4e-4},
    ),
    "dro": (ratio.dro, dro_term(0.4), naive.minus_mean, {"tau": 0.4}),
    "awr": (awr_losses, awr_term(0.7, 1.5), naive.minus_mean, {"tau": 0.7, "weight_limit": 1.5}),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_the_gradient_is_that_of_the_formula(name: str) -> None:
    losses, term, advantage, options = FORMULAS[name]
    for seed in range(3):
        table, behaviour, sequences = case = drawn(seed)
        advantages_B = (
            centred(sequences)
            if advantage is naive.minus_mean
            else standardised_advantages(sequences.rewards_B, sequences.groups_B)
        )
        written = naive.loss(
            table,
            behaviour,
            sequences,
            term=term,
            advantage=advantage,
            baseline=-0.1,
            aggregation="sequence_sum",
        )
        computed = step_loss(losses, case, advantages_B + 0.1, **options)
        assert computed.item() == pytest.approx(written.item(), abs=TOLERANCE)
        same_gradient(computed, written, table, TOLERANCE)


@pytest.mark.parametrize("name", FORMULAS)
def test_the_loss_of_a_sequence_depends_on_no_other_sequence(name: str) -> None:
    losses, _, _, options = FORMULAS[name]
    table, behaviour, sequences = drawn(9)
    advantages_B = centred(sequences) - 0.1

    def computed(batch: naive.Batch, own_B: Tensor) -> Tensor:
        logps_C, behaviour_C = (naive.token_logps(part, batch) for part in (table, behaviour))
        return losses(TokenLogps(logps_C, behaviour_C, own_B, batch.sequence_of_C), **options)

    whole_B = computed(sequences, advantages_B)
    for i in range(len(advantages_B)):
        alone_B = computed(sequences.take([i]), advantages_B[i : i + 1])
        torch.testing.assert_close(alone_B[0], whole_B[i], rtol=0, atol=1e-14)


@pytest.mark.parametrize("name", [name for name in FORMULAS if name != "dro"])
def test_the_ratios_of_these_tests_meet_every_limit(name: str) -> None:
    """Otherwise the comparisons above would hold for objectives that do not clip."""
    losses, _, _, options = FORMULAS[name]
    table, _, sequences = case = drawn(0)
    advantages_B = centred(sequences) + 0.1
    unbounded = {"clip_low": 1.0, "clip_high": 1e9, "weight_limit": 1e9}
    changed = {option: unbounded.get(option, value) for option, value in options.items()}
    first = step_loss(losses, case, advantages_B, **options)
    second = step_loss(losses, case, advantages_B, **changed)
    assert float((gradient(table, first) - gradient(table, second)).abs().max()) > 1e-3


# by hand: one sequence of two tokens, rho_t = 2 and 1/2 or so


def loss_of(losses: Losses, ratios: list[float], advantage: float, **options: float) -> float:
    """The loss of one sequence whose tokens have these ratios; mu gave each e^-1."""
    behaviour_C = torch.full((len(ratios),), -1.0, dtype=torch.float64)
    logps_C = behaviour_C + torch.tensor(ratios, dtype=torch.float64).log()
    places_C = torch.zeros(len(ratios), dtype=torch.long)
    advantages_B = torch.tensor([advantage], dtype=torch.float64)
    tokens = TokenLogps(logps_C, behaviour_C, advantages_B, places_C)
    return round(float(losses(tokens, **options)), 12)


def test_gspo_takes_the_geometric_mean_of_the_ratios() -> None:
    options = {"clip_low": 0.2, "clip_high": 0.3}
    assert loss_of(ratio.gspo, [8.0, 0.125], 1.0, **options) == -1.0
    assert loss_of(ratio.gspo, [2.0, 0.72], 0.5, **options) == -0.6
    assert loss_of(ratio.gspo, [4.0, 1.0], 1.0, **options) == -1.3
    assert loss_of(ratio.gspo, [4.0, 1.0], -1.0, **options) == 2.0
    assert loss_of(ratio.gspo, [0.25, 1.0], -1.0, **options) == 0.8


def test_dro_is_the_squared_residual_over_twice_tau() -> None:
    e = math.e
    assert loss_of(ratio.dro, [e, e], 1.0, tau=0.5) == 0.0
    assert loss_of(ratio.dro, [e, 1.0], 1.0, tau=0.5) == 0.25
    assert loss_of(ratio.dro, [1.0, 1.0], -2.0, tau=4.0) == 0.5


def test_awr_weighs_by_the_exponential_up_to_its_limit() -> None:
    advantages_B = torch.tensor([0.0, math.log(2), -math.log(4), 50.0], dtype=torch.float64)
    coefficients_B = linear.awr(advantages_B, advantages_B > 0, tau=0.5, weight_limit=20.0)
    assert [round(c, 12) for c in coefficients_B.tolist()] == [1.0, 4.0, 0.0625, 20.0]


@pytest.mark.parametrize("tau", [0.0, -1.0])
def test_a_tau_that_is_not_positive_is_an_error(tau: float) -> None:
    with pytest.raises(ConfigError, match=f"algorithm.tau={tau} of awr must be above 0"):
        linear.awr(torch.zeros(1), torch.zeros(1), tau=tau, weight_limit=20.0)
    with pytest.raises(ConfigError, match=f"algorithm.tau={tau} of dro must be above 0"):
        loss_of(ratio.dro, [1.0], 1.0, tau=tau)


# identities


def test_gspo_on_single_tokens_is_the_clip_of_ppo() -> None:
    table, _, sequences = case = drawn(3)
    single = sequences._replace(completions=[c[:1] for c in sequences.completions])
    clip = {"clip_low": 0.2, "clip_high": 0.28}
    case = case._replace(sequences=single)
    advantages_B = centred(single)
    first = step_loss(ratio.gspo, case, advantages_B, **clip)
    same_gradient(first, step_loss(ratio.clipped, case, advantages_B, **clip), table, 1e-14)


def test_a_sequence_without_tokens_here_has_a_finite_loss_of_gspo() -> None:
    logps_C = torch.tensor([-1.0], requires_grad=True)
    advantages_B, places_C = torch.tensor([1.0, 0.5]), torch.tensor([0])
    tokens = TokenLogps(logps_C, torch.tensor([-1.0]), advantages_B, places_C)
    losses_B = ratio.gspo(tokens, clip_low=0.2, clip_high=0.2)
    assert losses_B.tolist() == [-1.0, -0.5]
    assert float(gradient(logps_C, losses_B.sum())) == -1.0


def test_the_gradient_of_dro_is_that_of_kimi_s_mirror_descent() -> None:
    table, _, sequences = case = drawn(4)
    advantages_B = centred(sequences) - 0.3
    first = step_loss(ratio.dro, case, advantages_B, tau=0.3)
    same_gradient(first, step_loss(ratio.opmd_kimi, case, advantages_B, tau=0.3), table, 1e-13)


def test_a_baseline_scales_every_weight_of_awr_alike() -> None:
    advantages_B = torch.tensor([1.0, -1.0, 0.25], dtype=torch.float64)
    own_B = linear.awr(advantages_B, advantages_B > 0, tau=0.5, weight_limit=1e6)
    shifted_B = linear.awr(advantages_B - 0.2, advantages_B > 0, tau=0.5, weight_limit=1e6)
    torch.testing.assert_close(shifted_B, own_B * math.exp(-0.4), rtol=1e-14, atol=0)


def test_awr_at_large_tau_clones_mu() -> None:
    advantages_B = torch.tensor([1.0, -1.0], dtype=torch.float64)
    coefficients_B = linear.awr(advantages_B, advantages_B > 0, tau=1e9, weight_limit=20.0)
    torch.testing.assert_close(coefficients_B, torch.ones_like(coefficients_B), rtol=0, atol=1e-8)

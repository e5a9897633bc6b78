import pytest
import torch
from torch import Tensor

from asymreinforce.bandit.dynamics import WeightInputs, ascend_drifts, clipped, importance_weighted
from asymreinforce.bandit.problem import behaviour_logits, draw_rewards, expected_reward

CLIP = 0.2


def state() -> tuple[Tensor, WeightInputs]:
    """Return logits of pi (1, A), and a mu whose ratios lie on all sides of the clip."""
    behaviour = behaviour_logits(12, 4.0).softmax(-1)[None]
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(1, 12, generator=generator, dtype=torch.float64) / 2
    rewards = draw_rewards(43, 12)[None]
    return behaviour.log() + noise, WeightInputs(behaviour, rewards - 0.5, CLIP)


def gradient(logits: Tensor, setting: WeightInputs, *, clip: bool) -> Tensor:
    """d/dl E_mu[min(w A, clip(w) A)], or of E_mu[w A], by automatic differentiation."""
    logits = logits.clone().requires_grad_()
    ratio = logits.softmax(-1) / setting.behaviour_CA
    surrogate = ratio * setting.advantages_CA
    if clip:
        bounded = ratio.clamp(1 - CLIP, 1 + CLIP) * setting.advantages_CA
        surrogate = torch.minimum(surrogate, bounded)
    (setting.behaviour_CA * surrogate).sum().backward()
    assert logits.grad is not None
    return logits.grad


@pytest.mark.parametrize("clip", [False, True])
def test_a_step_is_the_gradient_of_its_surrogate(clip: bool) -> None:
    logits, setting = state()
    rule = clipped if clip else importance_weighted
    weights = rule(logits.softmax(-1), setting)
    if clip:
        assert 2 <= int((weights == 0).sum()) <= 10
    after = ascend_drifts(
        logits,
        [setting.behaviour_CA * setting.advantages_CA],
        lr_C=torch.ones(1, dtype=torch.float64),
        weight=lambda policy: rule(policy, setting),
    )
    expected = gradient(logits, setting, clip=clip)
    assert float((after - logits - expected).abs().max()) < 1e-15


def test_the_importance_weighted_update_does_not_depend_on_v() -> None:
    logits, setting = state()
    ends = []
    for shift in (0.0, 0.7):
        moved = setting._replace(advantages_CA=setting.advantages_CA - shift)
        drift = moved.behaviour_CA * moved.advantages_CA
        ends.append(
            ascend_drifts(
                logits,
                [drift] * 50,
                lr_C=torch.ones(1, dtype=torch.float64),
                weight=lambda policy, moved=moved: importance_weighted(policy, moved),  # type: ignore[misc]
            )
        )
    assert float((ends[0].softmax(-1) - ends[1].softmax(-1)).abs().max()) < 1e-14
    rewards = setting.advantages_CA
    gain = expected_reward(ends[0].softmax(-1), rewards) - expected_reward(
        logits.softmax(-1), rewards
    )
    assert float(gain) > 0.05


def test_an_arm_that_mu_never_plays_has_no_weight() -> None:
    behaviour = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    setting = WeightInputs(behaviour, torch.ones(1, 2, dtype=torch.float64), CLIP)
    policy = torch.tensor([[0.5, 0.5]], dtype=torch.float64)
    assert importance_weighted(policy, setting).tolist() == [[0.0, 0.5]]

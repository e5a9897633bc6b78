"""Load a user's own objective or reference, named `module:function`, and check its contract.

    coefficients(advantages_B, correct_B) -> c_B                      algorithm=linear
    losses(logps_C, behaviour_logps_C, advantages_B, sequence_of_C) -> losses_B
                                                                      algorithm=ratio
    reference(rewards_B, groups_B) -> V-hat_B                         baseline_reference=...

Each function is tried on a made-up batch before training. The function must return one finite
number per sequence, and the number of a sequence must not depend on other groups: else the gradient
would depend on the micro-batches.

Shapes: B sequences, C completion tokens of all sequences end to end; `sequence_of_C` holds each
token's index in B.
"""

import functools
from collections.abc import Callable

import torch
from torch import Tensor

from asymreinforce.algorithm.tokens import TokenLogps
from asymreinforce.errors import ConfigError
from asymreinforce.plugins import load_function

GROUPS_B = torch.tensor([0, 0, 1, 1, 1, 2])
REWARDS_B = torch.tensor([1.0, -1.0, -1.0, 0.5, 1.0, -1.0], dtype=torch.float64)
SEQUENCE_OF_C = torch.tensor([0, 0, 1, 2, 2, 2, 3, 4, 5, 5])


@functools.cache
def load_coefficients(name: str) -> Callable[[Tensor, Tensor], Tensor]:
    """Load the coefficients of a linear objective; `ConfigError` if the contract is broken."""
    coefficients = _finite_function(name)
    _require_no_other_group(name, lambda rewards_B: coefficients(rewards_B, rewards_B > 0))
    return coefficients


@functools.cache
def load_reference(name: str) -> Callable[[Tensor, Tensor], Tensor]:
    """Load a reference V-hat(x); `ConfigError` if the contract is broken."""
    reference = _finite_function(name)
    _require_no_other_group(name, lambda rewards_B: reference(rewards_B, GROUPS_B))
    return reference


def _finite_function(name: str) -> Callable[[Tensor, Tensor], Tensor]:
    """Load a function of two tensors whose values are checked at each call."""
    function = load_function(name)

    def checked(first_B: Tensor, second_B: Tensor) -> Tensor:
        values_B = _called(name, function, first_B, second_B, like_B=first_B)
        return _require_finite(name, values_B)

    return checked


@functools.cache
def load_losses(name: str) -> Callable[[TokenLogps], Tensor]:
    """Load the losses of a ratio objective; `ConfigError` if the contract is broken."""
    function = load_function(name)

    def losses(tokens: TokenLogps) -> Tensor:
        return _called(name, function, *tokens[:4], like_B=tokens.advantages_B)

    logps_C = torch.linspace(-2, -0.5, len(SEQUENCE_OF_C), dtype=torch.float64).requires_grad_()
    tokens = TokenLogps(logps_C, torch.full_like(logps_C, -1.0), REWARDS_B, SEQUENCE_OF_C)
    # checked on the made-up batch only: in training the step checks that its loss is finite
    losses_B = _require_finite(name, losses(tokens))
    if not losses_B.requires_grad:
        raise ConfigError(f"{name}: its losses do not depend on log pi: nothing would train")
    _require_no_other_group(name, lambda rewards_B: losses(tokens._replace(advantages_B=rewards_B)))
    return losses


def _called(name: str, function: Callable[..., Tensor], *given: Tensor, like_B: Tensor) -> Tensor:
    try:
        values_B = function(*given)
    except torch.OutOfMemoryError:
        raise  # no fault of the function: the step is taken again with shorter rows
    except Exception as error:  # a user's function may fail in any way
        raise ConfigError(f"{name} fails ({type(error).__name__}: {error})") from error
    if not isinstance(values_B, Tensor) or values_B.shape != like_B.shape:
        shape = tuple(values_B.shape) if isinstance(values_B, Tensor) else type(values_B).__name__
        raise ConfigError(
            f"{name} must return a tensor of one number per sequence, shape "
            f"{tuple(like_B.shape)}; it returned {shape}"
        )
    return values_B


def _require_finite(name: str, values_B: Tensor) -> Tensor:
    if not values_B.dtype.is_floating_point or not bool(values_B.isfinite().all()):
        raise ConfigError(f"{name} must return finite numbers; it returned {values_B.tolist()}")
    return values_B


def _require_no_other_group(name: str, of_rewards: Callable[[Tensor], Tensor]) -> None:
    """Check that changing one group's rewards does not change the values of other groups."""
    before_B = of_rewards(REWARDS_B)
    for group in range(int(GROUPS_B.max()) + 1):
        is_other_B = GROUPS_B.ne(group)
        changed_B = REWARDS_B.clone()
        changed_B[~is_other_B] *= -0.75
        if not torch.allclose(of_rewards(changed_B)[is_other_B], before_B[is_other_B]):
            raise ConfigError(
                f"{name}: the value of a sequence depends on another group, so the gradient would "
                "depend on the micro-batches"
            )

"""The table of objectives: two declared kinds, so that the trainer can pick its path by the kind.

A *linear* objective knows the coefficient of each log pi(y|x) before the forward pass; sequences
whose coefficient is zero need no forward pass at all. A *ratio* objective needs log pi and log mu
to say its loss, token by token.

Shapes: B sequences, T completion tokens of the longest.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from asymreinforce.errors import ConfigError


@dataclass(frozen=True)
class Linear:
    """J = (1/N) sum_i c_i log pi(y_i|x_i), with c = coefficients(advantages_B, correct_B)."""

    coefficients: Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Ratio:
    """loss(logps_BT, behaviour_logps_BT, advantages_B, mask_BT) -> the sum over sequences."""

    loss: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


Objective = Linear | Ratio


def asymre(advantages_B: Tensor, correct_B: Tensor) -> Tensor:
    """c = A = r - V  (Arnal et al. 2025, Eq. 4)."""
    return advantages_B


def positives_only(advantages_B: Tensor, correct_B: Tensor) -> Tensor:
    """c = 1[correct]: rejection sampling, that is SFT on the successes; no baseline enters."""
    return correct_B.to(advantages_B.dtype)


OBJECTIVES: dict[str, Objective] = {
    "asymre": Linear(asymre),
    "positives_only": Linear(positives_only),
}


def linear(name: str) -> Linear:
    """Look a linear objective up; raises `ConfigError` where there is none of that name."""
    found = OBJECTIVES.get(name)
    if not isinstance(found, Linear):
        raise ConfigError(f"algorithm.name={name} is unknown; there are {', '.join(OBJECTIVES)}")
    return found

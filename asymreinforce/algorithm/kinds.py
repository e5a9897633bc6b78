"""The three kinds of objectives; the trainer computes each kind in its own way.

*linear*      The coefficient of each log pi(y|x) is known before the forward pass. Sequences whose
              coefficient is 0 need no forward pass at all.
*ratio*       The loss of a sequence needs log pi and log mu of its tokens. A sequence with A = 0
              may still have a loss.
*whole step*  The loss also needs log pi of other sequences. A first pass computes log pi of the
              whole step without a gradient (`update/loss_inputs.py`); the loss of those values then
              gives every token's coefficient in a second pass.

A linear or ratio objective takes the first pass too if its reference needs log pi
(`minimum_variance`).

Shapes: B sequences, C completion tokens of all sequences end to end.
"""

# torch is imported where it is used: reports read the table of objectives without loading torch

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from torch import Tensor

    from asymreinforce.algorithm.tokens import TokenLogps


@dataclass(frozen=True, kw_only=True)
class Base:
    """What all kinds share: the advantage A, and the options with their defaults."""

    options: Mapping[str, float] = field(default_factory=dict)
    """Settings of `algorithm` that the objective takes, with their defaults; others are errors."""
    reference: str | None = None
    """The `baseline_reference` that is part of the objective's definition; None: any is allowed."""
    has_baseline: bool = True
    """Whether the objective uses V(x) = reference(x) + baseline."""
    is_standardised: bool = False
    """A = (r - mean)/std - baseline, with the group's std, in place of A = r - V."""
    is_of_correctness: bool = False
    """A = c - mean c over the group, with c = 1[correct], in place of A = r - V."""
    follows_policy: bool = False
    """Whether the reference needs log pi of the whole step; `objective_of` sets this."""

    def advantages(
        self,
        rewards_B: Tensor,
        groups_B: Tensor,
        *,
        correct_B: Tensor,
        baseline: float,
        reference_name: str,
        **made_of: Any,
    ) -> Tensor:
        """Return A of each sequence   (B,); every group must be complete.

        `made_of` holds the other inputs of a reference, by their names in `reference_rewards`.
        """
        from asymreinforce.algorithm import objective as paper
        from asymreinforce.algorithm.groups import standardised_advantages
        from asymreinforce.algorithm.references import group_mean

        if self.is_of_correctness:
            right_B = correct_B.to(rewards_B.dtype)
            return right_B - group_mean(right_B, groups_B)
        if self.is_standardised:
            return standardised_advantages(rewards_B, groups_B) - baseline
        return paper.advantages(
            rewards_B, groups_B, baseline=baseline, reference_name=reference_name, **made_of
        )


@dataclass(frozen=True, kw_only=True)
class Linear(Base):
    """J = (1/N) sum_i c_i log pi(y_i|x_i), with c = coefficients(advantages_B, correct_B)."""

    coefficients: Callable[..., Tensor]

    @property
    def needs_behaviour_logps(self) -> bool:
        """Whether the rollouts must hold log mu."""
        return self.follows_policy

    def loss(self, tokens: TokenLogps, weights_B: Tensor) -> Tensor:
        """Return N times the loss of the whole step, a scalar."""
        from asymreinforce.algorithm.objective import loss

        coefficients_B = self.coefficients(tokens.advantages_B, tokens.correct_B) * weights_B
        return loss(tokens.logp_B, coefficients_B, sequences=1)


@dataclass(frozen=True, kw_only=True)
class Ratio(Base):
    """L = (1/N) sum_i losses_i(tokens), with log pi and log mu in `tokens` (`tokens.py`)."""

    losses: Callable[..., Tensor]
    needs_behaviour_logps: ClassVar[bool] = True

    def loss(self, tokens: TokenLogps, weights_B: Tensor) -> Tensor:
        """Return sum_i w_i losses_i over a micro-batch, a scalar; divide it by N of the whole step.

        w is `weights_B`, from `sequence_weights`.
        """
        # not divided by N here: N counts the whole step, of which this is one micro-batch
        losses_B: Tensor = self.losses(tokens)
        return (losses_B * weights_B).sum()


@dataclass(frozen=True, kw_only=True)
class WholeStep(Ratio):
    """A ratio objective whose losses need all sequences of the step, and their groups."""


Objective = Linear | Ratio

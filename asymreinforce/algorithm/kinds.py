"""The kinds of objectives, so that the trainer can pick its path by the kind.

*linear*      the coefficient of each log pi(y|x) is known before the forward pass; sequences whose
              coefficient is zero need no forward pass at all
*ratio*       the loss of a sequence needs log pi and log mu of its tokens; with A = 0 a sequence
              may still have one
*whole step*  the loss needs log pi of other sequences too: a first pass computes those of the whole
              step without a gradient (`update/whole_step.py`), then every token has a coefficient

A linear or ratio objective whose reference is made of log pi (`minimum_variance`) takes the first
pass as well.

Shapes: B sequences, C completion tokens of them laid end to end. No torch is imported before it is
used: reports read the table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor


class WholeStepLogps(NamedTuple):
    """The tokens of a whole step with log pi and log mu, and what its sequences are."""

    logps_C: Tensor
    behaviour_logps_C: Tensor
    sequence_of_C: Tensor
    """Place in B of each token (int64)."""
    groups_B: Tensor
    correct_B: Tensor

    def of_tokens(self, advantages_B: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the arguments of a ratio objective's losses."""
        return self.logps_C, self.behaviour_logps_C, advantages_B, self.sequence_of_C

    @property
    def log_weights_B(self) -> Tensor:
        """sg(log pi/mu) of each sequence."""
        from asymreinforce.algorithm.ratio import sequence_sums

        log_ratio_C = (self.logps_C - self.behaviour_logps_C).detach()
        return sequence_sums(log_ratio_C, self.sequence_of_C, self.groups_B)


@dataclass(frozen=True, kw_only=True)
class Base:
    """What the kinds share: how A is made, and the options with their defaults."""

    options: Mapping[str, float] = field(default_factory=dict)
    """Settings of `algorithm` that enter, with their defaults; any other one is an error."""
    reference: str | None = None
    """The only `baseline_reference` under which the objective is what its name says; None: any."""
    has_baseline: bool = True
    """Whether V(x) = reference(x) + baseline enters."""
    is_standardised: bool = False
    """A = (r - mean)/std - baseline, with the group's std, in place of A = r - V."""
    is_of_correctness: bool = False
    """A = 1[correct] - its mean over the group, in place of A = r - V."""
    follows_policy: bool = False
    """Whether the reference is made of log pi of the whole step; `objective_of` tells."""

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
        """Return A of each sequence; the groups must be whole.

        `made_of` is what references are made of beside rewards: `reference_rewards` has the names.
        """
        from asymreinforce.algorithm import objective as paper
        from asymreinforce.algorithm.references import group_mean
        from asymreinforce.algorithm.standardised import standardised_advantages

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
        """Whether rows must bring log mu."""
        return self.follows_policy

    def step_loss(self, step: WholeStepLogps, advantages_B: Tensor, weights_B: Tensor) -> Tensor:
        """Return N times the loss of the whole step, a scalar."""
        from asymreinforce.algorithm.objective import loss
        from asymreinforce.algorithm.ratio import sequence_sums

        logp_B = sequence_sums(step.logps_C, step.sequence_of_C, advantages_B)
        coefficients_B = self.coefficients(advantages_B, step.correct_B) * weights_B
        return loss(logp_B, coefficients_B, sequences=1)


@dataclass(frozen=True, kw_only=True)
class Ratio(Base):
    """L = (1/N) sum_i losses_i(logps_C, behaviour_logps_C, advantages_B, sequence_of_C)."""

    losses: Callable[..., Tensor]
    needs_behaviour_logps: ClassVar[bool] = True

    def step_loss(self, step: WholeStepLogps, advantages_B: Tensor, weights_B: Tensor) -> Tensor:
        """Return N times the loss of the whole step, a scalar."""
        return self.loss(*step.of_tokens(advantages_B), weights_B=weights_B)

    def loss(
        self,
        logps_C: Tensor,
        behaviour_logps_C: Tensor,
        advantages_B: Tensor,
        sequence_of_C: Tensor,
        *,
        weights_B: Tensor,
    ) -> Tensor:
        """Return the micro-batch's share of N times the loss: sum_i w_i losses_i, a scalar.

        `sequence_of_C` (int64) holds each token's place in B; `weights_B` are those of
        `sequence_weights`. Divide by N, the sequences of the whole step.
        """
        losses_B: Tensor = self.losses(logps_C, behaviour_logps_C, advantages_B, sequence_of_C)
        return (losses_B * weights_B).sum()


@dataclass(frozen=True, kw_only=True)
class WholeStep(Base):
    """L = (1/N) sum_i losses_i(logps_C, behaviour_logps_C, advantages_B, sequence_of_C, groups_B).

    The arguments are those of a ratio objective, of all sequences of the step, and their groups.
    """

    losses: Callable[..., Tensor]
    needs_behaviour_logps: ClassVar[bool] = True

    def step_loss(self, step: WholeStepLogps, advantages_B: Tensor, weights_B: Tensor) -> Tensor:
        """Return N times the loss of the whole step, a scalar."""
        losses_B: Tensor = self.losses(*step.of_tokens(advantages_B), step.groups_B)
        return (losses_B * weights_B).sum()


Objective = Linear | Ratio | WholeStep

"""An objective's loss and gradient as a step computes them: from the table, in micro-batches."""

import torch
from torch import Tensor

from asymreinforce.algorithm.aggregation import Aggregation, sequence_weights
from asymreinforce.algorithm.kinds import Linear, Objective, WholeStep, WholeStepLogps
from asymreinforce.algorithm.ratio import sequence_sums
from asymreinforce.algorithm.table import objective_of
from asymreinforce.config import AlgorithmConfig
from tests.algorithm.table_policy import Batch, token_logps


def loss(
    table: Tensor,
    behaviour: Tensor,
    sequences: Batch,
    *,
    name: str = "asymre",
    baseline: float = 0.0,
    reference: str = "group_mean",
    aggregation: Aggregation = "sequence_sum",
    micro_batches: int = 1,
    **options: float,
) -> Tensor:
    """The step's loss; advantages, weights and the normaliser are those of the whole step.

    Of an objective that looks at the whole step, a sum with the gradient of its loss.
    """
    config = AlgorithmConfig(name=name, **options)
    objective = objective_of(config, baseline_reference=reference)

    def advantages_at(log_weights_B: Tensor) -> Tensor:
        return objective.advantages(
            sequences.rewards_B,
            sequences.groups_B,
            correct_B=sequences.rewards_B > 0,
            baseline=baseline,
            reference_name=reference,
            lengths_B=sequences.lengths_B,
            log_weights_B=log_weights_B,
        )

    advantages_B = advantages_at(torch.zeros_like(sequences.rewards_B))
    weights_B = sequence_weights(sequences.lengths_B, aggregation)
    parts = torch.arange(len(sequences.prompts)).tensor_split(micro_batches)
    total = torch.zeros((), dtype=torch.float64)
    if isinstance(objective, WholeStep) or objective.follows_policy:
        step = first_pass(table, behaviour, sequences)
        if objective.follows_policy:
            advantages_B = advantages_at(step.log_weights_B)
        by_logps_C = derivatives(objective, step, advantages_B, weights_B)
        for part in parts:
            is_own_C = torch.isin(sequences.sequence_of_C, part)
            logps_C = token_logps(table, sequences.take(part.tolist()))
            total = total + (by_logps_C[is_own_C] * logps_C).sum()
        return total / len(sequences.prompts)
    for part in parts:
        own = sequences.take(part.tolist())
        logps_C, places_C = token_logps(table, own), own.sequence_of_C
        if isinstance(objective, Linear):
            coefficients_B = objective.coefficients(advantages_B, sequences.rewards_B > 0)[part]
            logp_B = sequence_sums(logps_C, places_C, coefficients_B)
            total = total - (coefficients_B * weights_B[part] * logp_B).sum()
        else:
            total = total + objective.loss(
                logps_C,
                token_logps(behaviour, own).detach(),
                advantages_B[part],
                places_C,
                weights_B=weights_B[part],
            )
    return total / len(sequences.prompts)


def first_pass(table: Tensor, behaviour: Tensor, sequences: Batch) -> WholeStepLogps:
    """log pi and log mu of the whole step; the first asks for a gradient of its own."""
    return WholeStepLogps(
        token_logps(table, sequences).detach().requires_grad_(),
        token_logps(behaviour, sequences).detach(),
        sequences.sequence_of_C,
        sequences.groups_B,
        sequences.rewards_B > 0,
    )


def derivatives(
    objective: Objective, step: WholeStepLogps, advantages_B: Tensor, weights_B: Tensor
) -> Tensor:
    """d loss / d log pi_t of every token   (C,)."""
    return gradient(step.logps_C, objective.step_loss(step, advantages_B, weights_B))


def gradient(table: Tensor, value: Tensor) -> Tensor:
    """d value / d logits."""
    (found,) = torch.autograd.grad(value, table)
    return found

"""An objective's loss and gradient as a step computes them: from the table, in micro-batches."""

import torch
from torch import Tensor

from asymreinforce.algorithm.aggregation import Aggregation, sequence_weights
from asymreinforce.algorithm.ratio import sequence_sums
from asymreinforce.algorithm.table import Linear, objective_of
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
    """The step's loss; advantages, weights and the normaliser are those of the whole step."""
    config = AlgorithmConfig(name=name, **options)
    objective = objective_of(config, baseline_reference=reference)
    advantages_B = objective.advantages(
        sequences.rewards_B, sequences.groups_B, baseline=baseline, reference_name=reference
    )
    weights_B = sequence_weights(sequences.lengths_B, aggregation)
    total = torch.zeros((), dtype=torch.float64)
    for part in torch.arange(len(sequences.prompts)).tensor_split(micro_batches):
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


def gradient(table: Tensor, value: Tensor) -> Tensor:
    """d value / d logits."""
    (found,) = torch.autograd.grad(value, table)
    return found

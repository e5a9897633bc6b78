"""Cases for the functions of `rivals.py`: a policy apart from mu, and the loss of a step."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from asymreinforce.algorithm.objective import group_mean
from tests.algorithm import table_policy as naive
from tests.algorithm.computed import gradient

Losses = Callable[..., Tensor]


class Case(NamedTuple):
    """The tables of pi and mu, and sequences drawn without regard to either."""

    table: Tensor
    behaviour: Tensor
    sequences: naive.Batch


def drawn(seed: int) -> Case:
    behaviour = naive.logits(seed)
    table = (behaviour + naive.logits(seed + 200, scale=0.8)).requires_grad_()
    return Case(table, behaviour, naive.batch(seed + 100))


def step_loss(losses: Losses, case: Case, advantages_B: Tensor, **options: float) -> Tensor:
    table, behaviour, sequences = case
    losses_B = losses(
        naive.token_logps(table, sequences),
        naive.token_logps(behaviour, sequences),
        advantages_B,
        sequences.sequence_of_C,
        **options,
    )
    assert losses_B.shape == advantages_B.shape
    return losses_B.sum() / len(advantages_B)


def centred(sequences: naive.Batch) -> Tensor:
    return sequences.rewards_B - group_mean(sequences.rewards_B, sequences.groups_B)


def same_gradient(first: Tensor, second: Tensor, table: Tensor, tolerance: float) -> None:
    first_gradient, expected = gradient(table, first), gradient(table, second)
    assert float(expected.abs().max()) > 1e-3
    assert float((first_gradient - expected).abs().max()) <= tolerance

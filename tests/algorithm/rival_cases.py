"""Cases for the functions of `rivals.py`: a policy apart from mu, and the loss of a step."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor

from asymreinforce.algorithm.references import group_mean
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


def gspo_term(low: float, high: float) -> naive.Term:
    def term(pi: list[Tensor], mu: list[float], a: float) -> Any:
        s = (naive.product(pi) / math.prod(mu)) ** (1 / len(mu))
        kept = max(1 - low, min(1 + high, float(s.detach())))
        return s * a if float(s.detach()) * a <= kept * a else kept * a

    return term


def dro_term(tau: float) -> naive.Term:
    def term(pi: list[Tensor], mu: list[float], a: float) -> Any:
        return -((a - tau * (naive.product(pi) / math.prod(mu)).log()) ** 2) / (2 * tau)

    return term


def vespo_term(positive: tuple[float, float], negative: tuple[float, float]) -> naive.Term:
    def term(pi: list[Tensor], mu: list[float], a: float) -> Any:
        w = float(naive.product(pi).detach()) / math.prod(mu)
        power, decay = positive if a >= 0 else negative
        return w**power * math.exp(decay * (1 - w)) * a * naive.log_of(pi)

    return term


def nft_term(floor: float) -> naive.Term:
    """A is 1[correct] - p; the gradient of a floored ratio is that of the ratio."""

    def term(pi: list[Tensor], mu: list[float], a: float) -> Any:
        if a > 0:
            p = 1 - a
            return (1 - p) * sum((pi_t / m).log() for pi_t, m in zip(pi, mu, strict=True))
        total: Any = 0.0 * pi[0]
        if a == 0:
            return total
        p = -a
        for pi_t, m in zip(pi, mu, strict=True):
            rest = (1 - p * pi_t / m) / (1 - p)
            floored = max(floor, float(rest.detach()))
            total = total + math.log(floored) + (rest - rest.detach()) / floored
        return (1 - p) * total

    return term


def awr_term(tau: float, limit: float) -> naive.Term:
    return lambda pi, mu, a: min(math.exp(a / tau), limit) * naive.log_of(pi)

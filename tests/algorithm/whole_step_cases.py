"""Objectives of a whole step written slowly: every token and every pair in turn.

Shapes: B sequences, C completion tokens end to end.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tests.algorithm import table_policy as naive

Total = Callable[
    [list[list[Tensor]], list[list[float]], list[float], naive.Batch, list[float]], Any
]
"""(pi and mu of each token, A, the batch, weights of sequences) -> N times the loss."""


def m2po(limit: float) -> Total:
    """Take the farthest token away until the second moment of those that are left is in bounds."""

    def total(
        pi: list[list[Tensor]],
        mu: list[list[float]],
        a: list[float],
        batch: naive.Batch,
        weights: list[float],
    ) -> Any:
        squares = {
            (i, t): math.log(float(p.detach()) / m) ** 2
            for i in range(len(pi))
            for t, (p, m) in enumerate(zip(pi[i], mu[i], strict=True))
            if (float(p.detach()) / m > 1 and a[i] > 0) or (float(p.detach()) / m < 1 and a[i] < 0)
        }
        masked = set()
        while squares and sum(squares.values()) / len(squares) > limit:
            farthest = max(squares, key=lambda place: squares[place])
            masked.add(farthest)
            del squares[farthest]
        assert masked and squares  # else the test says nothing of the mask
        return -sum(
            weights[i] * p / m * a[i]
            for i in range(len(pi))
            for t, (p, m) in enumerate(zip(pi[i], mu[i], strict=True))
            if (i, t) not in masked
        )

    return total


def dpo(beta: float) -> Total:
    """Every pair of a correct and an incorrect sample of a prompt."""

    def total(
        pi: list[list[Tensor]],
        mu: list[list[float]],
        a: list[float],
        batch: naive.Batch,
        weights: list[float],
    ) -> Any:
        h = [naive.log_of(p) - math.log(math.prod(m)) for p, m in zip(pi, mu, strict=True)]
        losses: Any = 0.0
        for prompt in set(batch.prompts):
            group = [i for i, other in enumerate(batch.prompts) if other == prompt]
            right = [i for i in group if batch.rewards[i] > 0]
            wrong = [i for i in group if batch.rewards[i] <= 0]
            for i in right:
                for j in wrong:
                    pair = -torch.sigmoid(beta * (h[i] - h[j])).log()
                    share = len(group) / (len(right) * len(wrong))
                    losses = losses + share * pair * (weights[i] + weights[j]) / 2
        return losses

    return total


def tis_by_minimum_variance(limit: float, baseline: float) -> Total:
    """-min(w, limit) (r - b) log pi,  b = sum w^2 l r / sum w^2 l over the group."""

    def total(
        pi: list[list[Tensor]],
        mu: list[list[float]],
        a: list[float],
        batch: naive.Batch,
        weights: list[float],
    ) -> Any:
        w = [float(naive.product(p).detach()) / math.prod(m) for p, m in zip(pi, mu, strict=True)]
        losses: Any = 0.0
        for i, prompt in enumerate(batch.prompts):
            group = [j for j, other in enumerate(batch.prompts) if other == prompt]
            mass = [w[j] ** 2 * len(batch.completions[j]) for j in group]
            value = sum(m * batch.rewards[j] for m, j in zip(mass, group, strict=True)) / sum(mass)
            advantage = batch.rewards[i] - value - baseline
            losses = losses - weights[i] * min(w[i], limit) * advantage * naive.log_of(pi[i])
        return losses

    return total


def loss(
    table: Tensor,
    behaviour: Tensor,
    sequences: naive.Batch,
    *,
    total: Total,
    advantage: Callable[[list[float]], float],
    aggregation: str,
) -> Tensor:
    """(1/N) of the total, from probabilities by the softmax's definition."""
    pi = naive.probabilities(table, sequences)
    mu = [[float(m) for m in own] for own in naive.probabilities(behaviour, sequences)]
    lengths = [len(completion) for completion in sequences.completions]
    count = len(lengths)
    a = [advantage(naive.group_of(sequences, i)) for i in range(count)]
    weights = [naive.weight(lengths, i, aggregation) for i in range(count)]
    value: Tensor = total(pi, mu, a, sequences, weights) / count
    return value

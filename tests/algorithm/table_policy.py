"""A small table policy in fp64, and every objective written slowly from its formula.

    pi(y_t | x, y_<t) = softmax(logits[x, t, y_{t-1}])[y_t]

Shapes: P prompts, T positions, V vocabulary, B sequences, C completion tokens end to end.
"""

import math
from collections.abc import Callable
from statistics import mean, stdev
from typing import Any, NamedTuple

import torch
from torch import Tensor

PROMPTS, POSITIONS, VOCABULARY = 3, 4, 5


class Batch(NamedTuple):
    """Sequences of whole groups: their prompt, tokens and reward."""

    prompts: list[int]
    completions: list[list[int]]
    rewards: list[float]

    @property
    def rewards_B(self) -> Tensor:
        return torch.tensor(self.rewards, dtype=torch.float64)

    @property
    def groups_B(self) -> Tensor:
        return torch.tensor(self.prompts)

    @property
    def lengths_B(self) -> Tensor:
        return torch.tensor([len(completion) for completion in self.completions])

    @property
    def sequence_of_C(self) -> Tensor:
        return torch.arange(len(self.prompts)).repeat_interleave(self.lengths_B)

    def take(self, rows: list[int]) -> "Batch":
        return Batch(*([part[row] for row in rows] for part in self))  # type: ignore[arg-type]


def logits(seed: int, *, scale: float = 1.0) -> Tensor:
    """Draw a table of logits; the row of the last 'token' is that of a start."""
    generator = torch.Generator().manual_seed(seed)
    shape = (PROMPTS, POSITIONS, VOCABULARY + 1, VOCABULARY)
    return scale * torch.randn(shape, dtype=torch.float64, generator=generator)


def batch(seed: int, *, samples: int = 4, rewards: tuple[float, ...] = (-1, 1)) -> Batch:
    """Draw groups of completions of one to four tokens; the last group's rewards are equal."""
    generator = torch.Generator().manual_seed(seed)

    def draw(high: int, count: int = 1) -> list[int]:
        return [int(n) for n in torch.randint(high, (count,), generator=generator)]

    prompts = [prompt for prompt in range(PROMPTS) for _ in range(samples)]
    completions = [draw(VOCABULARY, 1 + draw(POSITIONS)[0]) for _ in prompts]
    drawn = [rewards[k] for k in draw(len(rewards), len(prompts))]
    drawn[0], drawn[1] = rewards[0], rewards[-1]
    drawn[samples], drawn[samples + 1] = rewards[0], rewards[-1]
    return Batch(prompts, completions, [*drawn[:-samples], *[rewards[-1]] * samples])


def token_logps(table: Tensor, sequences: Batch) -> Tensor:
    """log pi of every completion token, end to end   (C,)."""
    places = [
        (prompt, t, completion[t - 1] if t else VOCABULARY, token)
        for prompt, completion in zip(sequences.prompts, sequences.completions, strict=True)
        for t, token in enumerate(completion)
    ]
    x, t, before, token = torch.tensor(places).T
    return table.log_softmax(-1)[x, t, before, token]


def probabilities(table: Tensor, sequences: Batch) -> list[list[Tensor]]:
    """pi of every completion token, a list a sequence, by the softmax's definition."""
    found = []
    for prompt, completion in zip(sequences.prompts, sequences.completions, strict=True):
        before, own = VOCABULARY, []
        for t, token in enumerate(completion):
            row = table[prompt, t, before].exp()
            own.append(row[token] / row.sum())
            before = token
        found.append(own)
    return found


def product(factors: list[Tensor]) -> Tensor:
    result = torch.ones((), dtype=torch.float64)
    for factor in factors:
        result = result * factor
    return result


def log_of(factors: list[Tensor]) -> Tensor:
    return product(factors).log()


Term = Callable[[list[Tensor], list[float], float], Any]
"""(pi of each token, mu of each token, A) -> what the sequence adds to J, to be maximised."""


def reinforce(pi: list[Tensor], mu: list[float], a: float) -> Any:
    return a * log_of(pi)


def clipped(low: float, high: float) -> Term:
    def term(pi: list[Tensor], mu: list[float], a: float) -> Any:
        total: Any = 0.0
        for p, m in zip(pi, mu, strict=True):
            ratio = float(p.detach()) / m
            kept = max(1 - low, min(1 + high, ratio))
            total = total + (p / m * a if ratio * a <= kept * a else kept * a)
        return total

    return term


def token_weighted(weight: Callable[[float, float], float]) -> Term:
    def term(pi: list[Tensor], mu: list[float], a: float) -> Any:
        pairs = zip(pi, mu, strict=True)
        return sum(weight(float(p.detach()) / m, a) * a * p.log() for p, m in pairs)

    return term


def sequence_weighted(weight: Callable[[float, float], float]) -> Term:
    def term(pi: list[Tensor], mu: list[float], a: float) -> Any:
        ratio = float(product(pi).detach()) / math.prod(mu)
        return weight(ratio, a) * a * log_of(pi)

    return term


def kimi(tau: float) -> Term:
    def term(pi: list[Tensor], mu: list[float], a: float) -> Any:
        return a * log_of(pi) - tau / 2 * (log_of(pi) - math.log(math.prod(mu))) ** 2

    return term


def reverse_kl(coefficient: float) -> Term:
    def term(pi: list[Tensor], mu: list[float], a: float) -> Any:
        ratio = product(pi) / math.prod(mu)
        return a * log_of(pi) - coefficient * (ratio * ratio.log() - ratio + 1)

    return term


def group_of(sequences: Batch, i: int) -> list[float]:
    """The rewards of a sequence's group, its own first."""
    prompt = sequences.prompts[i]
    others = [
        reward
        for j, (other, reward) in enumerate(zip(sequences.prompts, sequences.rewards, strict=True))
        if other == prompt and j != i
    ]
    return [sequences.rewards[i], *others]


def minus_mean(group: list[float]) -> float:
    return group[0] - mean(group)


def minus_others(group: list[float]) -> float:
    return group[0] - mean(group[1:])


def standard_score(group: list[float]) -> float:
    return (group[0] - mean(group)) / stdev(group) if len(set(group)) > 1 else 0.0


def is_correct(group: list[float]) -> float:
    return float(group[0] > 0)


def correctness(group: list[float]) -> float:
    return float(group[0] > 0) - mean(float(reward > 0) for reward in group)


def reward_itself(group: list[float]) -> float:
    return group[0]


def weight(lengths: list[int], i: int, aggregation: str) -> float:
    if aggregation == "token_mean":
        return len(lengths) / sum(lengths)
    return 1 / lengths[i] if aggregation == "sequence_mean" else 1.0


def loss(
    table: Tensor,
    behaviour: Tensor,
    sequences: Batch,
    *,
    term: Term,
    advantage: Callable[[list[float]], float],
    baseline: float,
    aggregation: str,
) -> Tensor:
    """-(1/N) sum_i w_i term_i, one sequence after another."""
    pi, mu = probabilities(table, sequences), probabilities(behaviour, sequences)
    lengths = [len(completion) for completion in sequences.completions]
    total = torch.zeros((), dtype=torch.float64)
    for i in range(len(lengths)):
        a = advantage(group_of(sequences, i)) - baseline
        own = term(pi[i], [float(m) for m in mu[i]], a)
        total = total + weight(lengths, i, aggregation) * own
    return -total / len(lengths)

"""Compare an engine's stored log-probabilities with the model that is about to train.

    d_t = log pi(y_t|x, y_<t) - log mu(y_t|x, y_<t)

d_t is 0 if pi is mu and both programs compute alike. If not, each likely cause leaves a trace:

| cause              | trace                                                                  |
| ------------------ | ---------------------------------------------------------------------- |
| another tokenizer  | the tokens are as unlikely to pi as by guessing: log pi near -log V    |
| temperature        | at another temperature pi's log-probabilities are nearly the engine's  |
| truncated sampling | mu is never below pi (kept tokens share the mass of the others), or    |
|                    | no token from pi's tail was drawn although many were expected          |
| dtype              | differences are small, and as often above as below                     |
| another checkpoint | none of these                                                          |

Shapes: C completion tokens of all rollouts end to end, B rollouts, K temperatures.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from asymreinforce.algorithm.diagnostics import importance_weights

RATIOS = (0.9, 1.1)
TEMPERATURES = tuple(0.25 * 2 ** (k / 16) for k in range(65))
"""From 0.25 to 4 in steps of 4.4 percent, 1 included."""
TAIL = 0.1
"""The tail of a position: its least likely tokens, whose total probability is at most this."""

OUTSIDE = 0.01
P99_DIFFERENCE = 0.02
BIAS = 0.005
"""Warn above these limits; if both programs compute alike in fp32, all figures are below 1e-4."""

GUESSING = 0.8
LIKELY_TO_ENGINE = -1.0
"""Another tokenizer: mean log pi is below GUESSING times -log V, and mean d is below the other."""
FITS = 0.2
"""A temperature is the cause if it leaves at most this share of the mean difference."""
TAIL_TOKENS = 10.0
EMPTY_TAIL = 0.1
"""Truncated: at least TAIL_TOKENS were expected and at most EMPTY_TAIL of them were drawn."""
ONE_SIDED = 0.98
MOST_SHARED_OUT = 2.5
"""Or truncated: at least ONE_SIDED of sum |d| has d < 0, and the 99th percentile of |d| is at most
MOST_SHARED_OUT nats: the kept tokens rarely hold less than a twelfth of the mass (e^-2.5)."""
NOISE = 0.1
NOISE_BIAS = 0.35
"""dtype: mean |d| is at most NOISE, and |mean d| is at most NOISE_BIAS times mean |d|."""


class Mismatch(NamedTuple):
    """Figures of the comparison; differences d are per token, in nats."""

    rollouts: int
    tokens: int
    mean_difference: float
    """Mean of |d|."""
    bias: float
    """Mean of d; -bias estimates KL(mu || pi) per token."""
    p99_difference: float
    outside: float
    """Share of tokens whose ratio pi/mu lies outside [0.9, 1.1]."""
    effective_share: float
    """Effective sample size of the rollouts' weights pi/mu, as a share of their number."""
    mean_logp: float
    """Mean of log pi over tokens."""


class Evidence(NamedTuple):
    """Traces of the causes, measured on some of the tokens."""

    vocabulary: int
    difference_K: tuple[float, ...]
    """Mean |d| with pi at each of `TEMPERATURES`."""
    tail_expected: float
    """Expected number of tail tokens under sampling from pi at the best-fitting temperature."""
    tail_drawn: int


def measure_mismatch(logps_C: Tensor, behaviour_logps_C: Tensor, sequence_of_C: Tensor) -> Mismatch:
    """Compare log pi with the engine's log mu of the same tokens; needs at least one token."""
    difference_C = logps_C.double() - behaviour_logps_C.double()
    size_C = difference_C.abs()
    count = int(sequence_of_C.max()) + 1
    sums_B = [
        torch.zeros(count, dtype=torch.float64).index_add_(0, sequence_of_C, values_C.double())
        for values_C in (behaviour_logps_C, logps_C)
    ]
    low, high = (math.log(ratio) for ratio in RATIOS)
    outside_C = (difference_C < low) | (difference_C > high)
    return Mismatch(
        rollouts=count,
        tokens=len(size_C),
        mean_difference=float(size_C.mean()),
        bias=float(difference_C.mean()),
        p99_difference=float(size_C.sort().values[math.ceil(0.99 * len(size_C)) - 1]),
        outside=float(outside_C.double().mean()),
        effective_share=importance_weights(*sums_B).effective_share,
        mean_logp=float(logps_C.double().mean()),
    )


def gather_evidence(logits_CV: Tensor, targets_C: Tensor, behaviour_logps_C: Tensor) -> Evidence:
    """Measure the traces of all causes on the logits of some tokens."""
    difference_K = tuple(
        float(
            (
                (logits_CV / temperature).log_softmax(-1).gather(1, targets_C[:, None])[:, 0]
                - behaviour_logps_C
            )
            .abs()
            .mean()
        )
        for temperature in TEMPERATURES
    )
    best = TEMPERATURES[difference_K.index(min(difference_K))]
    probability_CV = (logits_CV / best).softmax(-1)
    ordered_CV, rank_CV = probability_CV.sort(dim=-1)
    tail_CV = ordered_CV.cumsum(-1) <= TAIL
    in_tail_CV = torch.zeros_like(tail_CV).scatter_(1, rank_CV, tail_CV)
    return Evidence(
        vocabulary=logits_CV.shape[1],
        difference_K=difference_K,
        tail_expected=float((probability_CV * in_tail_CV).sum()),
        tail_drawn=int(in_tail_CV.gather(1, targets_C[:, None]).sum()),
    )


def is_worth_warning(stats: Mismatch) -> bool:
    """Return whether any figure exceeds its limit."""
    return (
        stats.outside > OUTSIDE or stats.p99_difference > P99_DIFFERENCE or abs(stats.bias) > BIAS
    )


def likely_causes(stats: Mismatch, traces: Evidence) -> list[str]:
    """Name the likely causes of a difference, each with its trace; empty if there is none."""
    if not is_worth_warning(stats):
        return _unadjusted_causes(traces)
    if named := [*_temperature_causes(traces), *_truncation_causes(stats, traces)]:
        return named
    if _is_guessing(stats, traces):
        return [
            "another tokenizer or prompt template: a token has probability "
            f"{math.exp(stats.mean_logp):.2g}, by guessing it would be {1 / traces.vocabulary:.2g}"
        ]
    if stats.mean_difference <= NOISE and abs(stats.bias) <= NOISE_BIAS * stats.mean_difference:
        return [
            "dtype or kernels: differences are small and as often above as below; one of the two "
            "computes in lower precision (or the checkpoint was trained a few steps further)"
        ]
    return [
        "another checkpoint (or an adapter, or a prompt template): "
        f"KL(mu || pi) is about {max(0.0, -stats.bias):.3g} nats a token"
    ]


def _unadjusted_causes(traces: Evidence) -> list[str]:
    """Name the cause if log-probabilities fit but the tokens were not drawn from them."""
    if not _tail_is_empty(traces):
        return []
    return [
        "temperature or truncated sampling, of which the stored log-probabilities know nothing: "
        f"{_tail_words(traces)}"
    ]


def _temperature_causes(traces: Evidence) -> list[str]:
    place = traces.difference_K.index(min(traces.difference_K))
    plain = traces.difference_K[TEMPERATURES.index(1.0)]
    if TEMPERATURES[place] == 1.0 or traces.difference_K[place] > FITS * plain:
        return []
    return [
        f"temperature: at {TEMPERATURES[place]:.2f} the mean difference falls from {plain:.3g} to "
        f"{traces.difference_K[place]:.3g}"
    ]


def _truncation_causes(stats: Mismatch, traces: Evidence) -> list[str]:
    if _tail_is_empty(traces):
        return [f"truncated sampling (top-p, top-k or min-p): {_tail_words(traces)}"]
    is_one_sided = -stats.bias >= ONE_SIDED * stats.mean_difference
    if is_one_sided and stats.p99_difference <= MOST_SHARED_OUT:
        return [
            "truncated sampling (top-p, top-k or min-p): the engine's probabilities are never the "
            "lower ones, as if the mass of tokens left out had been shared among those kept"
        ]
    return []


def _is_guessing(stats: Mismatch, traces: Evidence) -> bool:
    """Return whether tokens that the engine found likely are as unlikely to pi as guesses."""
    return (
        stats.mean_logp < -GUESSING * math.log(traces.vocabulary) and stats.bias < LIKELY_TO_ENGINE
    )


def _tail_is_empty(traces: Evidence) -> bool:
    return (
        traces.tail_expected >= TAIL_TOKENS
        and traces.tail_drawn <= EMPTY_TAIL * traces.tail_expected
    )


def _tail_words(traces: Evidence) -> str:
    return (
        f"{traces.tail_drawn} tokens were drawn from the least likely {TAIL:.0%}, where "
        f"{traces.tail_expected:.0f} were to be expected"
    )

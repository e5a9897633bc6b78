"""How the tokens of a step are averaged: a weight on each sequence.

    J = (1/N) sum_i w_i J_i         N sequences of the whole step, J_i a sum over tokens

    sequence_sum    w_i = 1              log pi(y|x) of whole completions: the paper's form
    token_mean      w_i = N / sum_j n_j  every token of the step counts the same
    sequence_mean   w_i = 1 / n_i        every sequence counts the same, its tokens are averaged

n_i is the number of completion tokens of sequence i. N and all n_i count the whole optimizer step
and are known before the forward pass, so the gradient does not depend on the micro-batches. The
weight multiplies a sequence's coefficient in a linear objective and its loss in a ratio objective.

Shapes: B sequences of the step.
"""

from typing import Literal

import torch
from torch import Tensor

Aggregation = Literal["sequence_sum", "token_mean", "sequence_mean"]


def sequence_weights(lengths_B: Tensor, aggregation: Aggregation) -> Tensor:
    """Return w_B in fp64 for completions of `lengths_B` tokens, sequences with A = 0 included."""
    lengths_B = lengths_B.double()
    if aggregation == "token_mean":
        return torch.full_like(lengths_B, len(lengths_B)) / lengths_B.sum()
    if aggregation == "sequence_mean":
        return 1 / lengths_B
    return torch.ones_like(lengths_B)

"""How the tokens of a step are averaged, as a weight on each sequence.

    J = (1/N) sum_i w_i J_i         N sequences of the whole step, J_i a sum over tokens

    sequence_sum    w_i = 1              log pi(y|x) of whole completions: the paper's form
    token_mean      w_i = N / sum_j n_j  every token of the step counts the same
    sequence_mean   w_i = 1 / n_i        every sequence the same, its tokens averaged

with n_i the completion tokens of sequence i. N and the n_i are those of the whole optimizer step,
known before its forward pass, so that no gradient depends on how the step is cut up. The weight
multiplies a linear objective's coefficient, and a ratio objective's loss of the sequence.

Shapes: B sequences of the step.
"""

from typing import Literal

import torch
from torch import Tensor

Aggregation = Literal["sequence_sum", "token_mean", "sequence_mean"]


def sequence_weights(lengths_B: Tensor, aggregation: Aggregation) -> Tensor:
    """Return w_B in fp64 for completions of `lengths_B` tokens, those with A = 0 included."""
    lengths_B = lengths_B.double()
    if aggregation == "token_mean":
        return torch.full_like(lengths_B, len(lengths_B)) / lengths_B.sum()
    if aggregation == "sequence_mean":
        return 1 / lengths_B
    return torch.ones_like(lengths_B)

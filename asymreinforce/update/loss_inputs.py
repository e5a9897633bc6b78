"""Inputs of an optimizer step besides its sequences, for each kind of objective.

A linear objective needs a tensor of each sequence's coefficient of log pi(y|x)   (B,). The classes
below are for the other kinds.

Shapes: B sequences of the step, C completion tokens of all sequences end to end.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from asymreinforce.algorithm.tokens import TokenLogps
from asymreinforce.update.packing import PackedRow


class RatioInputs(NamedTuple):
    """Inputs of a ratio objective besides log pi."""

    loss: Callable[[TokenLogps, Tensor], Tensor]
    """(tokens, weights_B) -> sum over B."""
    advantages_B: Tensor
    weights_B: Tensor
    behaviour_logps: Sequence[np.ndarray]
    """log mu of each completion token, sequence by sequence."""


class StepInputs(NamedTuple):
    """Inputs of a whole-step objective besides log pi."""

    loss: Callable[[Tensor, Tensor, Tensor], Tensor]
    """(logps_C, behaviour_logps_C, sequence_of_C) of all sequences -> N times the loss."""
    behaviour_logps: Sequence[np.ndarray]
    """log mu of each completion token, sequence by sequence."""


class TokenCoefficients(NamedTuple):
    """A step's loss and each token's coefficient of log pi, sequence by sequence."""

    loss: float
    coefficients: Sequence[Tensor]

    @property
    def used(self) -> np.ndarray:
        """Indices of the sequences that have a token whose coefficient is not 0."""
        return np.flatnonzero([bool(tokens.any()) for tokens in self.coefficients])

    def of_row(self, row: PackedRow) -> Tensor:
        """Return the coefficients of a row's completion tokens, divided by N   (C,)."""
        tokens = [self.coefficients[member] for member in row.members]
        # the empty tensor is for idle rows, which have no sequence
        return torch.cat([torch.zeros(0), *tokens]) / len(self.coefficients)


KnownInputs = Tensor | RatioInputs | TokenCoefficients
LossInputs = Tensor | RatioInputs | StepInputs


def used_sequences(inputs: KnownInputs, count: int) -> np.ndarray:
    """Return the indices of sequences that need a forward pass; known coefficients of 0 do not."""
    if isinstance(inputs, TokenCoefficients):
        return inputs.used
    # a ratio objective may have a loss at A = 0, so all of its sequences are needed
    return np.arange(count) if isinstance(inputs, RatioInputs) else np.flatnonzero(inputs.numpy())

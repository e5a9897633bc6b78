"""What an optimizer step is given beside its sequences, by the kind of its objective.

A tensor holds the coefficient of log pi(y|x) of each sequence, of a linear objective. The others
are below.

Shapes: B sequences of the step, C completion tokens of them laid end to end.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from asymreinforce.update.packing import PackedRow


class RatioInputs(NamedTuple):
    """What a ratio objective needs of each sequence beside log pi."""

    loss: Callable[..., Tensor]
    """(logps_C, behaviour_logps_C, advantages_B, sequence_of_C, *, weights_B) -> sum over rows."""
    advantages_B: Tensor
    weights_B: Tensor
    behaviour_logps: Sequence[np.ndarray]
    """log mu of each completion token, sequence by sequence."""


class StepInputs(NamedTuple):
    """What an objective of the whole step needs beside log pi."""

    loss: Callable[[Tensor, Tensor, Tensor], Tensor]
    """(logps_C, behaviour_logps_C, sequence_of_C) of all sequences -> N times the loss."""
    behaviour_logps: Sequence[np.ndarray]
    """log mu of each completion token, sequence by sequence."""


class TokenCoefficients(NamedTuple):
    """A step's loss and the coefficient of log pi of each token, sequence by sequence."""

    loss: float
    coefficients: Sequence[Tensor]

    @property
    def used(self) -> np.ndarray:
        """The sequences that have a coefficient other than 0."""
        return np.flatnonzero([bool(tokens.any()) for tokens in self.coefficients])

    def of_row(self, row: PackedRow) -> Tensor:
        """Lay out those of a row's tokens, divided by N."""
        tokens = [self.coefficients[member] for member in row.members]
        return torch.cat([torch.zeros(0), *tokens]) / len(self.coefficients)


KnownInputs = Tensor | RatioInputs | TokenCoefficients
LossInputs = Tensor | RatioInputs | StepInputs


def used_sequences(inputs: KnownInputs, count: int) -> np.ndarray:
    """Return the sequences that need a forward pass: those whose coefficient is not known as 0."""
    if isinstance(inputs, TokenCoefficients):
        return inputs.used
    return np.arange(count) if isinstance(inputs, RatioInputs) else np.flatnonzero(inputs.numpy())

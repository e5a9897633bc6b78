"""Inputs of an optimizer step besides its sequences, for each kind of objective.

A linear objective needs a tensor of each sequence's coefficient of log pi(y|x)   (B,). The classes
below are for the other kinds. A whole-step objective takes two passes:

    L = L(log pi_1, ..., log pi_C)                     over all completion tokens of the step
    dL/dtheta = sum_t (dL/dlog pi_t) dlog pi_t/dtheta

The first pass computes log pi of every token without a gradient. The loss of these C numbers gives
each token's coefficient c_t = -N dL/dlog pi_t. The second pass, at the same pi, is the pass of a
linear objective with one coefficient per token, so the gradient is exact for any micro-batches.
Sequences whose coefficients are all 0 are skipped. A step costs one more forward pass than with a
linear objective.

Shapes: B sequences of the step, C completion tokens of all sequences end to end.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from asymreinforce.algorithm.tokens import TokenLogps
from asymreinforce.update.memory import halving_rows
from asymreinforce.update.packing import PackedRow, Sequences

if TYPE_CHECKING:
    from asymreinforce.update.trainer import Trainer


class RatioInputs(NamedTuple):
    """Inputs of a ratio objective besides log pi."""

    loss: Callable[[TokenLogps, Tensor], Tensor]
    """(tokens, weights_B) -> sum over B."""
    advantages_B: Tensor
    weights_B: Tensor
    behaviour_logps: Sequence[np.ndarray]
    """log mu of each completion token, sequence by sequence."""

    def loss_of_row(self, row: PackedRow, logps_C: Tensor) -> Tensor:
        """Return N times a row's loss, given log pi of its completion tokens."""
        behaviour = [self.behaviour_logps[member] for member in row.members]
        behaviour_C = np.concatenate([np.zeros(0), *behaviour])  # an idle row has none
        tokens = TokenLogps(
            logps_C,
            torch.from_numpy(behaviour_C).to(logps_C),
            self.advantages_B[row.members].to(logps_C),
            row.sequence_of_C.to(logps_C.device),
        )
        return self.loss(tokens, self.weights_B[row.members].to(logps_C))


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


def token_coefficients(
    trainer: "Trainer", batch: Sequences, inputs: StepInputs
) -> TokenCoefficients:
    """Return c_t = -N dL/dlog pi_t of each completion token, and L, at the current weights."""
    lengths = [len(completion) for completion in batch.completions]
    logps_C, behaviour_C = score_step(trainer, batch, inputs.behaviour_logps)
    logps_C.requires_grad_()
    sequence_of_C = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths))
    loss = inputs.loss(logps_C, behaviour_C, sequence_of_C)
    if not loss.requires_grad:  # no sequence of the step has a loss: all coefficients are 0
        loss = loss + 0 * logps_C.sum()
    (by_logps_C,) = torch.autograd.grad(loss, logps_C)
    coefficients = torch.split(-by_logps_C, lengths)
    return TokenCoefficients(float(loss.detach()) / len(lengths), coefficients)


@halving_rows
@torch.no_grad()
def score_step(
    trainer: "Trainer", batch: Sequences, behaviour_logps: Sequence[np.ndarray]
) -> tuple[Tensor, Tensor]:
    """Return log pi and log mu of every completion token of a step, in fp64   (C,), (C,).

    Each rank scores its own rows and reads their log mu; every rank gets all values.
    """
    ends = np.cumsum([len(completion) for completion in batch.completions])
    both = np.zeros((2, int(ends[-1]) if len(ends) else 0))
    with trainer.scoring():
        for row in trainer.rows(batch):
            logps_C = trainer.scorer.scores(row).logps_C.double().cpu().numpy()
            start = 0
            for member in row.members:
                count = len(batch.completions[member])
                tokens = slice(ends[member] - count, ends[member])
                both[0, tokens] = logps_C[start : start + count]
                both[1, tokens] = behaviour_logps[member]
                start += count
    # tokens of other ranks are 0 here, so the sum puts all ranks' tokens together
    logps_C, behaviour_C = trainer.ranks.sum(both)
    return torch.from_numpy(logps_C), torch.from_numpy(behaviour_C)

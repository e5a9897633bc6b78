"""The first pass of whole-step objectives: from log pi of all tokens to the tokens' coefficients.

    L = L(log pi_1, ..., log pi_C)                     over all completion tokens of the step
    dL/dtheta = sum_t (dL/dlog pi_t) dlog pi_t/dtheta

The first pass computes log pi of every token without a gradient. The loss of these C numbers gives
each token's coefficient c_t = -N dL/dlog pi_t. The second pass, at the same pi, is the pass of a
linear objective with one coefficient per token, so the gradient is exact for any micro-batches.
Sequences whose coefficients are all 0 are skipped. A step costs one more forward pass than with a
linear objective.

Shapes: B sequences of the step, C completion tokens of all sequences end to end.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from asymreinforce.update.loss_inputs import StepInputs, TokenCoefficients
from asymreinforce.update.memory import halving_rows
from asymreinforce.update.packing import Sequences

if TYPE_CHECKING:
    from asymreinforce.update.trainer import Trainer


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

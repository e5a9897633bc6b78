"""One optimizer step of a policy: a batch and its coefficients in, the step's figures out.

Free of files, arms and logging, so that a faster inside replaces it without touching the loop.

Shapes: B sequences of the step, C completion tokens of a micro-batch.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from asymreinforce.algorithm import objective
from asymreinforce.config import OptimConfig
from asymreinforce.errors import TrainingError
from asymreinforce.policy.layout import Row, Sequences, lay_out, micro_batches, rows_of
from asymreinforce.policy.logps import sequence_sums, token_logps

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Step(NamedTuple):
    """What an optimizer step did; `logps_B` is NaN for sequences that were skipped (A = 0)."""

    loss: float
    grad_norm: float
    lr: float
    logps_B: np.ndarray
    skipped: int


class Trainer:
    """A policy with its optimizer: AdamW, linear warm-up, clipped gradient, fp32 master weights.

    `autocast` runs the model in bf16 over the fp32 weights (CUDA).
    """

    def __init__(
        self,
        model: "PreTrainedModel",
        config: OptimConfig,
        *,
        tokens_per_micro_batch: int,
        autocast: bool = False,
    ):
        self.model = model
        self._config = config
        self._tokens = tokens_per_micro_batch
        self._autocast = autocast
        self.optimizer = torch.optim.AdamW(
            model.parameters(),
            lr=config.lr,
            betas=config.betas,
            eps=config.eps,
            weight_decay=config.weight_decay,
            fused=True,
        )
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda step: min(1.0, (step + 1) / max(1, config.warmup_steps))
        )

    def step(self, batch: Sequences, coefficients_B: Tensor) -> Step:
        """Ascend J = (1/B) sum_i c_i log pi(y_i|x_i)  (Eq. 1), B counting sequences with c = 0.

        Raises `TrainingError`, with the weights untouched, where the loss or the gradient is not
        finite.
        """
        self._zero_gradient()
        loss, logps_B = self._accumulate(batch, coefficients_B)
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self._config.grad_clip)
        if not (math.isfinite(loss) and math.isfinite(float(norm))):
            raise TrainingError(f"the loss is {loss} and the gradient's norm {float(norm)}")
        lr = self.schedule.get_last_lr()[0]
        self.optimizer.step()
        self.schedule.step()
        return Step(loss, float(norm), float(lr), logps_B, int((coefficients_B == 0).sum()))

    def _zero_gradient(self) -> None:
        """Give every parameter a gradient of zeros.

        AdamW passes over a parameter without one: a first step in which all coefficients are zero
        would not count, and a resumed run would differ from an uninterrupted one.
        """
        for parameter in self.model.parameters():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            else:
                parameter.grad.zero_()

    def _accumulate(self, batch: Sequences, coefficients_B: Tensor) -> tuple[float, np.ndarray]:
        """Add up the gradient over micro-batches; sequences whose coefficient is 0 have none."""
        count = len(batch.prompts)
        logps_B = np.full(count, np.nan)
        used = np.flatnonzero(coefficients_B.numpy())
        needed = batch.take(used)
        loss = 0.0
        for rows in micro_batches(rows_of(needed), tokens=self._tokens):
            members = used[[member for row in rows for member in row.members]]
            part_logps_B = self.sequence_logps(needed, rows)
            coefficients = coefficients_B[members].to(part_logps_B)
            part_loss = objective.loss(part_logps_B, coefficients, sequences=count)
            torch.autograd.backward(part_loss)
            loss += float(part_loss.detach())
            logps_B[members] = part_logps_B.detach().cpu().numpy()
        return loss, logps_B

    def sequence_logps(self, batch: Sequences, rows: Sequence[Row]) -> Tensor:
        """Return log pi(y|x) of the sequences of some rows, end to end, with gradient where on."""
        laid_out = lay_out(batch, rows, device=self.model.device)
        with torch.autocast(self.model.device.type, torch.bfloat16, enabled=self._autocast):
            logps_C = token_logps(self.model, laid_out)
        return sequence_sums(logps_C, laid_out)

"""One optimizer step of a policy: a batch and its coefficients in, the step's figures out.

Free of files, arms and logging, so that a faster inside replaces it without touching the loop.

Shapes: B sequences of the step, C completion tokens of a row.
"""

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from asymreinforce.errors import TrainingError
from asymreinforce.policy.attention import Name, packed_attention
from asymreinforce.policy.logps import Gradient, Scorer, sequence_sums
from asymreinforce.policy.packing import Sequences, pack

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from asymreinforce.config import OptimConfig


TOKENS = {"cpu": 1024, "cuda": 16_384}
"""Tokens of a packed row by device. On CPU the activations of a layer then stay in the cache, which
makes the body about 12% faster than rows of 4,096 (`scripts/bench_training_step.py`)."""


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
        config: "OptimConfig",
        *,
        tokens_per_micro_batch: int | None = None,
        autocast: bool = False,
        attention: Name = "auto",
    ):
        self.model = model
        self.scorer = Scorer(model, attention_name=attention, autocast=autocast)
        self._config = config
        self.tokens_per_micro_batch = tokens_per_micro_batch or TOKENS[model.device.type]
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
        """Add up the gradient over rows; sequences whose coefficient is 0 have none."""
        count = len(batch.prompts)
        logps_B = np.full(count, np.nan)
        used = np.flatnonzero(coefficients_B.numpy())
        loss = 0.0
        for row in pack(batch.take(used), tokens=self.tokens_per_micro_batch):
            members = used[row.members]
            weights_B = coefficients_B[members] / count
            with packed_attention(self.model):
                gradient = self.scorer(row, weights_B[row.sequence_of_C])
                assert isinstance(gradient, Gradient)
                gradient.finish()
            loss += float(gradient.made.loss)
            logps_B[members] = sequence_sums(gradient.made.logps_C, row).cpu().numpy()
        return loss, logps_B

"""One optimizer step of a policy: a batch and its loss inputs in, the step's figures out.

The trainer knows no files, arms or logging, so that a faster trainer can replace it without a
change of the training loop.

Shapes: B sequences of the step, C completion tokens of a row.
"""

import contextlib
import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from asymreinforce.errors import TrainingError
from asymreinforce.update.attention import Name, packed_attention
from asymreinforce.update.balance import Cost, rows_of_rank
from asymreinforce.update.gradient import clip_gradient, fill_gradient, zero_gradient
from asymreinforce.update.layers import silence_randomness
from asymreinforce.update.learning_rate import learning_rate_share
from asymreinforce.update.log_probs import Gradient, Scorer, sequence_sums
from asymreinforce.update.loss_inputs import (
    KnownInputs,
    LossInputs,
    RatioInputs,
    StepInputs,
    TokenCoefficients,
    token_coefficients,
    used_sequences,
)
from asymreinforce.update.memory import LogitsBuffer, halving_rows
from asymreinforce.update.packing import PackedRow, Sequences, pack_rows
from asymreinforce.update.ranks import ALONE, Ranks

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from asymreinforce.config import OptimConfig

TOKENS = {"cpu": 1024, "cuda": 16_384}
"""Tokens of a packed row by device. On CPU the activations of few tokens stay in the cache; on CUDA
only large matrix products fill the device."""


class Update(NamedTuple):
    """Figures of an optimizer step; `logps_B` is NaN for sequences that were skipped."""

    loss: float
    grad_norm: float
    lr: float
    logps_B: np.ndarray
    skipped: int


class Accumulated(NamedTuple):
    """Loss, log-probabilities and gradient norm before clipping; `logps_B` as in `Update`."""

    loss: float
    logps_B: np.ndarray
    norm: Tensor


class Trainer:
    """A policy with its optimizer: AdamW, clipped gradient, fp32 master weights.

    `steps` counts the whole arm and sets the decay of the learning rate (`learning_rate.py`).
    `autocast` computes in bf16 with fp32 weights. Parameters that require no gradient (such as the
    weights under LoRA) are not trained. Trainers that never compute at the same time can share the
    memory of their `logits`. The model stays in evaluation mode.

    If `ranks` has a mesh, each rank holds its shard of weights, gradient and moments
    (`sharding.py`) and computes its share of a step's rows; the figures are of the whole step.
    Every rank must then make every call.
    """

    def __init__(
        self,
        model: "PreTrainedModel",
        config: "OptimConfig",
        *,
        steps: int | None = None,
        tokens_per_micro_batch: int | None = None,
        autocast: bool = False,
        attention: Name = "auto",
        ranks: Ranks = ALONE,
        cpu_offload: bool = False,
        logits: LogitsBuffer | None = None,
    ):
        silence_randomness(model)
        self.model = model
        self.ranks = ranks
        self.device = torch.device(ranks.mesh.device_type) if ranks.mesh else model.device
        self.scorer = Scorer(
            model,
            attention_name=attention,
            autocast=autocast,
            device=self.device,
            logits=logits,
        )
        self._config = config
        self.asked_tokens = tokens_per_micro_batch or TOKENS[self.device.type]
        self.tokens_per_micro_batch = self.asked_tokens
        """The most tokens of a row: `asked_tokens`, or fewer after memory has run out."""
        if ranks.mesh:
            from asymreinforce.update.sharding import shard_parameters

            self._cost = Cost.of(model)  # before sharding, while parameters have their full sizes
            shard_parameters(self.scorer, ranks, half=autocast, cpu_offload=cpu_offload)
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        """The parameters that train."""
        self.optimizer = torch.optim.AdamW(
            self.parameters,
            lr=config.lr,
            betas=config.betas,
            eps=config.eps,
            weight_decay=config.weight_decay,
            fused=True,
        )
        if steps is None and config.schedule != "constant":
            raise ValueError(f"optim.schedule={config.schedule} needs the steps of the arm")
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer,
            lambda done: learning_rate_share(done + 1, config, steps=steps or 0),
        )

    def step(self, batch: Sequences, loss_inputs: LossInputs) -> Update:
        """Take one optimizer step on all N sequences of the batch.

        The type of `loss_inputs` decides what is optimised:

            Tensor         J = (1/N) sum_i c_i log pi(y_i|x_i)  (Eq. 1), with coefficients c_B;
                           sequences with c = 0 cost nothing
            RatioInputs    the loss of a ratio objective
            StepInputs     the loss of a whole-step objective, after a first pass without a
                           gradient (`token_coefficients`)

        On CUDA a step that runs out of memory is repeated with half the tokens per row, unless
        training is sharded. Raises `TrainingError`, with the weights unchanged, if the loss or the
        gradient is not finite, or if a row of one sequence does not fit the memory.
        """
        known = (
            token_coefficients(self, batch, loss_inputs)
            if isinstance(loss_inputs, StepInputs)
            else loss_inputs
        )
        loss, logps_B, total_norm = self._accumulate(batch, known)
        norm = float(total_norm)
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise TrainingError(f"the loss is {loss} and the gradient's norm {norm}")
        clip_gradient(self.parameters, total_norm, limit=self._config.grad_clip)
        lr = self.schedule.get_last_lr()[0]
        self.optimizer.step()
        self.schedule.step()
        return Update(loss, norm, float(lr), logps_B, int(np.isnan(logps_B).sum()))

    def free(self) -> None:
        """Free the memory that is kept between steps: the head's logits."""
        self.scorer.free()

    @halving_rows
    def _accumulate(self, batch: Sequences, loss_inputs: KnownInputs) -> Accumulated:
        """Compute the step's gradient, summed over its rows."""
        zero_gradient(self.parameters, self.device)
        count = len(batch.prompts)
        used = used_sequences(loss_inputs, count)
        parts: list[tuple[list[int], Tensor, Tensor]] = []
        for packed in self.rows(batch.take(used)):
            # back from indices in the used sequences to indices in the batch
            row = packed._replace(members=used[packed.members].tolist())
            with packed_attention(self.model):
                part, logps_C = self._row(row, loss_inputs, count)
            parts.append((row.members, part, sequence_sums(logps_C, row)))
        fill_gradient(self.parameters)
        norm = self._gradient_norm()
        # only now, after all work is queued: reading a number waits for the device
        logps_B, loss = np.zeros(count), 0.0
        for members, part, sums_B in parts:
            loss += float(part)
            logps_B[members] = sums_B.cpu().numpy()
        *logps, loss = self.ranks.sum(np.array([*logps_B, loss]))
        # the sum of c_t log pi_t has the gradient of a whole-step loss, but not its value
        if isinstance(loss_inputs, TokenCoefficients):
            loss = loss_inputs.loss
        logps_B = np.full(count, np.nan)
        logps_B[used] = np.array(logps)[used]
        return Accumulated(float(loss), logps_B, norm)

    def rows(self, sequences: Sequences) -> Iterable[PackedRow]:
        """Pack sequences into rows; each of several ranks gets equal cost and as many rows."""
        tokens = self.tokens_per_micro_batch
        if not self.ranks.mesh:
            return pack_rows(sequences, tokens=tokens)
        number, count = self.ranks.number, self.ranks.count
        return rows_of_rank(sequences, number=number, count=count, tokens=tokens, cost=self._cost)

    def whole_model(self, *, dtype: torch.dtype | None = None) -> "PreTrainedModel | None":
        """Return the model; if training is sharded, a gathered copy on rank 0, else None.

        `dtype` is the dtype of the copy, None for the dtype of the weights.
        """
        if not self.ranks.mesh:
            return self.model
        from asymreinforce.update.sharding import whole_model

        return whole_model(self.model, keep=self.ranks.is_first, dtype=dtype)

    @contextlib.contextmanager
    def scoring(self) -> Iterator[None]:
        """Enter this to score without a backward pass; every rank must enter."""
        if not self.ranks.mesh:
            yield
            return
        from asymreinforce.update.sharding import around_layers

        with around_layers(self.scorer):
            yield

    def _row(self, row: PackedRow, inputs: KnownInputs, count: int) -> tuple[Tensor, Tensor]:
        """Add a row's gradient; return its loss and log pi of its completion tokens."""
        if isinstance(inputs, RatioInputs):
            return self._ratio(row, inputs, count)
        if isinstance(inputs, TokenCoefficients):
            return self._linear(row, inputs.of_row(row))
        # c/N; the head multiplies by -log pi
        return self._linear(row, (inputs / count)[row.members][row.sequence_of_C])

    def _linear(self, row: PackedRow, coefficients_C: Tensor) -> tuple[Tensor, Tensor]:
        """Add a row's gradient if the tokens' coefficients are known."""
        gradient = self.scorer(row, coefficients_C)
        assert isinstance(gradient, Gradient)
        gradient.finish()
        return gradient.made.loss, gradient.made.logps_C

    def _ratio(self, row: PackedRow, inputs: RatioInputs, count: int) -> tuple[Tensor, Tensor]:
        """Add a row's gradient for a ratio objective; the head computes its logits twice."""
        logps_C: Tensor = self.scorer(row).logps_C
        loss = inputs.loss_of_row(row, logps_C)
        torch.autograd.backward(loss / count)
        return loss.detach() / count, logps_C.detach()

    def _gradient_norm(self) -> Tensor:
        """Return the norm of the whole gradient over all ranks, on the gradient's device."""
        norm: Any = torch.nn.utils.get_total_norm(
            [p.grad for p in self.parameters if p.grad is not None]
        )
        return norm.full_tensor() if self.ranks.mesh else norm  # type: ignore[no-any-return]

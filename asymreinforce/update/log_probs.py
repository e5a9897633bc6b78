"""Log-probabilities of completions under a Hugging Face causal language model, row by row.

    log pi(y|x) = sum_t log pi(y_t | x, y_<t)      end-of-sequence included, prompt excluded

The model's body computes a packed row. Only hidden states that predict completion tokens reach the
head.

Shapes: T tokens of a row, C completion tokens of its sequences end to end, B sequences of the row,
D width.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from asymreinforce.model.model_config import of_model
from asymreinforce.update import attention
from asymreinforce.update.embedding import embedded_inputs
from asymreinforce.update.head import Head, Loss, Scores, linear_loss, token_logps
from asymreinforce.update.layers import uncompiled_without_gradient
from asymreinforce.update.memory import LogitsBuffer
from asymreinforce.update.packing import PackedRow, on_device

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Gradient(NamedTuple):
    """A row's loss, with the head's gradient already computed; `finish` adds the body's."""

    hidden_CD: Tensor
    made: Loss

    def finish(self) -> None:
        """Run the backward pass from the hidden states; call this inside `packed_attention`."""
        self.hidden_CD.backward(self.made.by_hidden_CD)  # type: ignore[no-untyped-call]


class Scorer(nn.Module):
    """A model's body and head on packed rows.

    `autocast` computes in bf16 and leaves the weights in their dtype. `device` is where the weights
    will be, if they are not there yet. Models that never compute at the same time can share the
    memory of their `logits`.
    """

    def __init__(
        self,
        model: "PreTrainedModel",
        *,
        attention_name: attention.Name = "auto",
        autocast: bool = False,
        device: torch.device | None = None,
        logits: LogitsBuffer | None = None,
    ):
        super().__init__()
        self.model = model
        self.precision = torch.bfloat16 if autocast else model.dtype
        self._autocast = autocast
        self._logits = logits or LogitsBuffer()
        decoder = of_model(model).decoder
        self._way = attention.choose(
            attention_name,
            device or model.device,
            self.precision,
            head_width=decoder.head_width if decoder else None,
        )

    def forward(
        self, row: PackedRow, coefficients_C: Tensor | None = None, *, entropy: bool = False
    ) -> Gradient | Scores:
        """Score a row's completion tokens; with coefficients, compute the loss and its gradient."""
        # body and head in one `forward`, so that a wrapper (sharding, compilation) sees both
        device = self.model.device
        plan, row = attention.make_plan(self._way, row, device), row.to(device)
        with (
            uncompiled_without_gradient(),
            torch.autocast(device.type, torch.bfloat16, enabled=self._autocast),
        ):
            body: Any = self.model.base_model
            hidden_TD: Tensor = body(
                **embedded_inputs(self.model, row.input_ids_T),
                position_ids=row.positions_T[None],
                use_cache=False,
                packing=plan,
            ).last_hidden_state[0]
        hidden_CD = hidden_TD.index_select(0, row.predictors_C).to(self.precision)
        head = Head.of(self.model, self._logits)
        if coefficients_C is None:
            return token_logps(head, hidden_CD, row.targets_C, entropy=entropy)
        loss = linear_loss(head, hidden_CD, row.targets_C, on_device(coefficients_C, device))
        return Gradient(hidden_CD, loss)

    def free(self) -> None:
        """Free the memory of the head's logits; the next call allocates it again."""
        self._logits.free()

    def scores(self, row: PackedRow, *, entropy: bool = False) -> Scores:
        """Return log pi of each completion token of a row, with gradient if autograd is on."""
        with attention.packed_attention(self.model):
            scores = self(row, entropy=entropy)
        assert isinstance(scores, Scores)
        return scores


def sequence_sums(values_C: Tensor, row: PackedRow) -> Tensor:
    """Sum the tokens' values over each sequence   (B,), in the order of the row."""
    sums_B = values_C.new_zeros(len(row.members))
    return sums_B.index_add_(0, on_device(row.sequence_of_C, values_C.device), values_C)

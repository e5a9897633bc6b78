"""The input embedding, with a gradient that touches only the rows that were read.

Autograd allocates a dense gradient of vocabulary x width for each micro-batch, fills it with zeros
and adds it to `.grad`. Here the rows that the micro-batch read are added to `.grad` directly.

Shapes: T tokens, D width, V vocabulary.
"""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def embedded_inputs(model: "PreTrainedModel", input_ids_T: Tensor) -> dict[str, Tensor]:
    """Return `inputs_embeds` for plain embeddings, `input_ids` for models with a custom embedding.

    The result is passed to the model's body by name.
    """
    module: Any = model.get_input_embeddings()
    # some architectures scale embeddings inside their embedding module, or read the ids elsewhere
    plain = type(module) is nn.Embedding and not (module.scale_grad_by_freq or module.max_norm)
    if not (plain and module.weight.requires_grad and torch.is_grad_enabled()):
        return {"input_ids": input_ids_T[None]}
    embeds_TD: Tensor = _Rows.apply(  # type: ignore[no-untyped-call]
        module.weight, input_ids_T, module.padding_idx
    )
    return {"inputs_embeds": embeds_TD[None]}


class _Rows(torch.autograd.Function):
    """weight[ids], with a backward pass that adds to rows of the weight's `.grad`."""

    @staticmethod
    def forward(ctx: Any, weight_VD: Tensor, ids_T: Tensor, padding: int | None) -> Tensor:
        ctx.weight_VD, ctx.ids_T, ctx.padding = weight_VD, ids_T, padding
        return weight_VD.index_select(0, ids_T)

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[None, None, None]:
        weight_VD, ids_T, by_rows_TD = ctx.weight_VD, ctx.ids_T, outer[0]
        if ctx.padding is not None:  # as in nn.Embedding, the padding row gets no gradient
            by_rows_TD = by_rows_TD.masked_fill((ids_T == ctx.padding)[:, None], 0)
        if weight_VD.grad is None:
            weight_VD.grad = torch.zeros_like(weight_VD)
        weight_VD.grad.index_add_(0, ids_T, by_rows_TD.to(weight_VD.grad.dtype))
        return None, None, None

"""Attention inside packed rows, through transformers' attention interface: no copy of model code.

A *plan* is made once per row and used by every layer. There are two implementations:

| name   | how                                                     | for                           |
| ------ | ------------------------------------------------------- | ----------------------------- |
| varlen | `torch.nn.attention.varlen`, one FlashAttention call    | CUDA in half precision        |
| sdpa   | one call per segment; short blocks in masked rectangles | CPU, and all other cases      |

Shapes: T tokens of a row, H query heads, K key/value heads, D a head's width; S tokens of a
segment, P tokens of its prefix; N short blocks in a rectangle of width L.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from asymreinforce.errors import ConfigError
from asymreinforce.update.attention.sdpa import SdpaPlan
from asymreinforce.update.attention.varlen import VarlenPlan
from asymreinforce.update.packing import PackedRow

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Name = Literal["auto", "varlen", "sdpa"]
Plan = Callable[..., Tensor]
"""(query_1HTD, key_1KTD, value_1KTD, *, scale, window) -> out_1THD"""

IMPLEMENTATION = "asymreinforce_packed"

PLANS: dict[str, Callable[[PackedRow, torch.device], Plan]] = {
    "varlen": VarlenPlan,
    "sdpa": SdpaPlan,
}


def choose(name: Name, device: torch.device, dtype: torch.dtype, *, head_width: int | None) -> str:
    """Return the implementation for a device, a dtype and a head's width.

    Raises `ConfigError` if varlen is asked for and not possible.
    """
    # FlashAttention takes half precision only, and heads of a multiple of 8 up to 256
    half_on_cuda = device.type == "cuda" and dtype in (torch.bfloat16, torch.float16)
    fits = half_on_cuda and head_width in range(8, 257, 8)
    if name == "auto":
        return "varlen" if fits else "sdpa"
    if name == "varlen" and not fits:
        raise ConfigError(
            "train.attention=varlen needs CUDA, half precision, and heads of a multiple of 8 up to "
            "256 wide; use train.attention=auto"
        )
    return name


def make_plan(name: str, row: PackedRow, device: torch.device) -> Plan:
    """Make the plan of a row for the implementation that `choose` returned."""
    return PLANS[name](row, device)


@contextlib.contextmanager
def packed_attention(model: "PreTrainedModel") -> Iterator[None]:
    """Let a model's layers attend by the plan that is passed to its forward as `packing`.

    Run the backward pass inside as well: activation checkpointing calls the layers again. The
    attention that the model used before, for example for generation, is restored afterwards.
    """
    _register_interface()
    config: Any = model.config
    before = config._attn_implementation
    config._attn_implementation = IMPLEMENTATION
    try:
        yield
    finally:
        config._attn_implementation = before


@functools.cache
def _register_interface() -> None:
    from transformers import AttentionInterface

    # No mask is registered: transformers would then search for packed sequences on the host.
    AttentionInterface.register(IMPLEMENTATION, _attend_by_plan)


def _attend_by_plan(
    module: torch.nn.Module,
    query_1HTD: Tensor,
    key_1KTD: Tensor,
    value_1KTD: Tensor,
    attention_mask: Tensor | None,
    *,
    packing: Plan,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """The attention function that transformers calls in each layer."""
    if dropout or softcap or s_aux is not None:
        raise ConfigError(
            f"{type(module).__name__} uses dropout, a soft cap or sinks in its attention, which "
            "packed training does not; use another model, or set attention_dropout to 0"
        )
    out_1THD = packing(query_1HTD, key_1KTD, value_1KTD, scale=scaling, window=sliding_window)
    return out_1THD, None

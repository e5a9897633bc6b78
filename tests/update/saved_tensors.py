"""What autograd keeps of a model's forward pass in packed rows, counted without memory.

Models of true widths run on fake tensors: shapes, precisions and the graph are the real ones, and
nothing is computed. Each storage counts once. Weights are left out; their copies under autocast,
which do not grow with the row, are told from activations by two rows of different lengths.

Attention is a stand-in that keeps what the CUDA kernels keep: queries, keys, values, output and the
logarithms of its sums (`varlen_attn`, and SDPA's memory-efficient kernel in fp32).
"""

from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import AutoModelForCausalLM

from asymreinforce.config import LoraConfig
from asymreinforce.model import adapters
from asymreinforce.update import attention
from asymreinforce.update.attention import sdpa
from asymreinforce.update.layers import checkpoint_activations
from asymreinforce.update.log_probs import Scorer
from asymreinforce.update.packing import Sequences, pack_rows
from tests.update import flash_kernel

ROWS = (640, 1280)
"""Tokens of the two rows."""


class Counted(NamedTuple):
    """Bytes that are kept: for each token, and whatever the row."""

    by_token: float
    fixed: float


def counted(
    config: Any, *, half: bool, lora_rank: int | None = None, recomputes: bool = False,
    samples: int = 1,
) -> Counted:  # fmt: skip
    """Count on two rows of two prompts with `samples` completions each, all of one length."""
    with torch.device("meta"):
        dtype = torch.bfloat16 if half and lora_rank else torch.float32
        model = AutoModelForCausalLM.from_config(config, dtype=dtype).train()
        if lora_rank:
            adapters.attach_adapters(model, LoraConfig(rank=lora_rank), seed=0)
    if recomputes:
        checkpoint_activations(model)
    with FakeTensorMode(), pytest.MonkeyPatch.context() as patch:
        _fill(model)
        attend = SimpleNamespace(scaled_dot_product_attention=_sdpa)
        patch.setattr(sdpa, "F", attend)
        patch.setattr(sdpa, "causal_lower_right", lambda *size: None)  # no fake tensor
        with flash_kernel.in_place_of_cuda(_varlen):
            found = [_kept(model, tokens, half=half, samples=samples) for tokens in ROWS]
    (bytes_0, tokens_0), (bytes_1, tokens_1) = found
    by_token = (bytes_1 - bytes_0) / (tokens_1 - tokens_0)
    return Counted(by_token, bytes_1 - by_token * tokens_1)


def _kept(model: Any, tokens: int, *, half: bool, samples: int) -> tuple[int, int]:
    """Return bytes that the forward pass over a row keeps, and the row's tokens."""
    length = tokens // 2 // (1 + samples)
    prompts = [np.arange(first, first + length) for first in (0, 1) for _ in range(samples)]
    (row,) = pack_rows(Sequences(prompts, [np.arange(length)] * len(prompts)), tokens=tokens)
    assert len(row.members) == len(prompts)
    scorer = Scorer(model, autocast=half)
    scorer._way = "varlen" if half else "sdpa"
    weights = {parameter.untyped_storage()._cdata for parameter in model.parameters()}
    kept: dict[int, Any] = {}

    def keep(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        if storage._cdata not in weights:
            kept[storage._cdata] = storage  # held, so that its address is not given out again
        return value

    plan = attention.make_plan

    def plan_as_on_cuda(name: str, row: Any, device: torch.device) -> attention.Plan:
        return (
            sdpa.SdpaPlan(row, device, linear=True) if name == "sdpa" else plan(name, row, device)
        )

    with (
        pytest.MonkeyPatch.context() as patch,
        attention.packed_attention(model),
        torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value),
    ):
        patch.setattr(attention, "make_plan", plan_as_on_cuda)
        scorer(row, torch.ones(len(row.targets_C)))
    return sum(storage.nbytes() for storage in kept.values()), len(row.input_ids_T)


def _fill(model: nn.Module) -> None:
    """Put fake tensors in place of those of the meta device; tied weights stay tied."""
    filled: dict[int, nn.Parameter] = {}
    for module in model.modules():
        for name, value in module._parameters.items():
            if value is not None:
                like = torch.empty(value.shape, dtype=value.dtype)
                fake = nn.Parameter(like, requires_grad=value.requires_grad)
                module._parameters[name] = filled.setdefault(id(value), fake)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype)


class _Attention(torch.autograd.Function):
    """Shapes: queries H x T x D, keys and values of any shape."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        out = torch.empty_like(query)
        sums = query.new_empty(query.numel() // query.shape[-1], dtype=torch.float32)
        ctx.save_for_backward(query, key, value, out, sums)
        return out

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> Any:
        raise AssertionError("nothing goes backward here")


def _varlen(
    query: Tensor, key: Tensor, value: Tensor, *bounds: Any, scale: float | None = None,
    window_size: tuple[int, int] = (-1, -1), enable_gqa: bool = False,
) -> Tensor:  # fmt: skip
    assert query.dtype == key.dtype == value.dtype == torch.bfloat16
    return _Attention.apply(query, key, value)


def _sdpa(query: Tensor, key: Tensor, value: Tensor, **settings: Any) -> Tensor:
    assert query.shape[1] == key.shape[1]  # grouped heads would keep all scores
    return _Attention.apply(query, key, value)

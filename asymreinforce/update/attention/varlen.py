"""`torch.nn.attention.varlen`: all segments of a row in one FlashAttention call (CUDA)."""

import functools
import inspect
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from asymreinforce.update.layers import left_uncompiled
from asymreinforce.update.packing import PackedRow, on_device


class VarlenPlan:
    """One FlashAttention call: queries end to end, each segment's keys after its prefix's keys."""

    def __init__(self, row: PackedRow, device: torch.device):
        segments = [segment for block in row.segments for segment in block]
        lengths = np.array([s.end - s.start for s in segments])
        seen = lengths + np.array([s.prefix.stop - s.prefix.start for s in segments])
        self._longest = int(lengths.max()), int(seen.max())
        self._bounds = _segment_bounds(lengths, device), _segment_bounds(seen, device)
        self._keys: Tensor | None = None
        if int(seen.sum()) > int(lengths.sum()):
            ranges = [r for s in segments for r in (s.prefix, slice(s.start, s.end))]
            index = np.concatenate([np.arange(r.start, r.stop) for r in ranges])
            self._keys = on_device(torch.from_numpy(index), device)

    def __call__(
        self, query: Tensor, key: Tensor, value: Tensor, *, scale: float | None, window: int | None
    ) -> Tensor:
        """Attend; returns out_1THD in the dtype of the values."""
        # Under autocast rotary embeddings return queries and keys in fp32, while values are in half
        # precision. The kernel has no autocast rule and needs one half dtype for all three.
        query, key = query.to(value.dtype), key.to(value.dtype)
        return self._attend_packed(query, key, value, scale, window)

    @left_uncompiled
    def _attend_packed(
        self,
        query_1HTD: Tensor,
        key_1KTD: Tensor,
        value_1KTD: Tensor,
        scale: float | None,
        window: int | None,
    ) -> Tensor:
        query_THD, key_TKD, value_TKD = (
            x[0].transpose(0, 1) for x in (query_1HTD, key_1KTD, value_1KTD)
        )
        if self._keys is not None:
            key_TKD = key_TKD.index_select(0, self._keys)
            value_TKD = value_TKD.index_select(0, self._keys)
        out_THD = _varlen_kernel()(
            query_THD,
            key_TKD,
            value_TKD,
            *self._bounds,
            *self._longest,
            scale=scale,
            # FlashAttention aligns causal order to the last key, so every query sees the prefix
            window_size=(-1 if window is None else window - 1, 0),
        )
        return out_THD[None]


def _segment_bounds(lengths: np.ndarray, device: torch.device) -> Tensor:
    bounds = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return on_device(torch.from_numpy(bounds), device)


@functools.cache
def _varlen_kernel() -> Callable[..., Tensor]:
    """Return `varlen_attn` for grouped heads."""
    from torch.nn.attention.varlen import varlen_attn

    # torch 2.11 takes grouped heads as they are, later versions only with this argument
    if "enable_gqa" in inspect.signature(varlen_attn).parameters:
        return functools.partial(varlen_attn, enable_gqa=True)  # type: ignore[return-value]
    return varlen_attn  # type: ignore[return-value]

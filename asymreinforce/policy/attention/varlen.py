"""`torch.nn.attention.varlen`: all segments of a row in one FlashAttention call (CUDA)."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from asymreinforce.errors import ConfigError
from asymreinforce.policy.packing import Row, on_device


class VarlenPlan:
    """One FlashAttention call: queries end to end, and each segment's keys behind its prefix's."""

    def __init__(self, row: Row, device: torch.device):
        segments = [segment for block in row.segments for segment in block]
        own = np.array([s.end - s.start for s in segments])
        seen = own + np.array([s.prefix.stop - s.prefix.start for s in segments])
        self._longest = int(own.max()), int(seen.max())
        self._bounds = _bounds(own, device), _bounds(seen, device)
        self._keys: Tensor | None = None
        if int(seen.sum()) > int(own.sum()):
            ranges = [r for s in segments for r in (s.prefix, slice(s.start, s.end))]
            index = np.concatenate([np.arange(r.start, r.stop) for r in ranges])
            self._keys = on_device(torch.from_numpy(index), device)

    def __call__(
        self, query: Tensor, key: Tensor, value: Tensor, *, scale: float | None, window: int | None
    ) -> Tensor:
        """Attend; returns out_1THD in the values' precision.

        Under autocast rotary embeddings leave queries and keys in fp32, and values are in half
        precision. The kernel has no autocast rule and takes one half precision for all three.
        """
        query_THD, key_TKD, value_TKD = (
            x[0].transpose(0, 1).to(value.dtype) for x in (query, key, value)
        )
        if self._keys is not None:
            key_TKD = key_TKD.index_select(0, self._keys)
            value_TKD = value_TKD.index_select(0, self._keys)
        out_THD = _varlen()(
            query_THD,
            key_TKD,
            value_TKD,
            *self._bounds,
            *self._longest,
            scale=scale,
            window=window,
            grouped=query.shape[1] != key.shape[1],
        )
        return out_THD[None]


def _bounds(lengths: np.ndarray, device: torch.device) -> Tensor:
    bounds = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return on_device(torch.from_numpy(bounds), device)


def has_varlen() -> bool:
    """Tell whether this version of torch has `varlen_attn`."""
    try:
        from torch.nn.attention.varlen import varlen_attn  # noqa: F401
    except ImportError:
        return False
    return True


@functools.cache
def _varlen() -> Callable[..., Tensor]:
    """Return `varlen_attn` with causal order, whatever this version of torch calls it.

    torch 2.10 had `is_causal`; later ones say it by a window, and key/value heads by `enable_gqa`.
    FlashAttention aligns the causal order to the last key, so that a prefix is seen whole.
    """
    from torch.nn.attention.varlen import varlen_attn

    known = inspect.signature(varlen_attn).parameters

    def attend(
        query: Tensor,
        key: Tensor,
        value: Tensor,
        *bounds: Any,
        scale: float | None,
        window: int | None,
        grouped: bool,
    ) -> Tensor:
        settings: dict[str, Any] = {"scale": scale} if "scale" in known else {}
        if "window_size" in known:
            settings["window_size"] = (-1 if window is None else window - 1, 0)
        elif window is None:
            settings["is_causal"] = True
        else:
            raise ConfigError("sliding windows need a newer torch; use train.attention=flex")
        if grouped and "enable_gqa" in known:
            settings["enable_gqa"] = True
        elif grouped:
            repeats = query.shape[1] // key.shape[1]
            key, value = (x.repeat_interleave(repeats, dim=1) for x in (key, value))
        out: Any = varlen_attn(query, key, value, *bounds, **settings)
        return out  # type: ignore[no-any-return]

    return attend

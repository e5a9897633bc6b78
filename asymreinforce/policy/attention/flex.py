"""FlexAttention with a mask of blocks.

`varlen` is faster where it is there; this is for CUDA devices and precisions that it does not know.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from asymreinforce.policy.packing import Row, on_device


class FlexPlan:
    """FlexAttention with a mask of blocks: tokens see their prompt and their own segment."""

    def __init__(self, row: Row, device: torch.device):
        block_of, number_of = [], []
        for number, block in enumerate(row.segments):
            for segment in block:
                size = segment.end - segment.start
                block_of.append(np.full(size, number))
                has_prefix = segment.prefix.stop > segment.prefix.start
                number_of.append(np.full(size, segment.start if has_prefix else -1))
        self._block_T = on_device(torch.from_numpy(np.concatenate(block_of)), device)
        self._segment_T = on_device(torch.from_numpy(np.concatenate(number_of)), device)
        self._positions_T = on_device(row.positions_T, device)
        self._masks: dict[int | None, Any] = {}

    def __call__(
        self, query: Tensor, key: Tensor, value: Tensor, *, scale: float | None, window: int | None
    ) -> Tensor:
        """Attend; returns out_1THD."""
        if window not in self._masks:
            self._masks[window] = self._mask(window)
        out_1HTD: Tensor = _flex(query.device.type)(
            query,
            key,
            value,
            block_mask=self._masks[window],
            scale=scale,
            enable_gqa=query.shape[1] != key.shape[1],
        )
        return out_1HTD.transpose(1, 2)

    def _mask(self, window: int | None) -> Any:
        from torch.nn.attention.flex_attention import create_block_mask

        block_T, segment_T, positions_T = self._block_T, self._segment_T, self._positions_T

        def sees(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            own = (segment_T[query] == segment_T[key]) | (segment_T[key] == -1)
            seen = (block_T[query] == block_T[key]) & own & (query >= key)
            if window is not None:
                seen = seen & (positions_T[query] - positions_T[key] < window)
            return seen

        tokens = len(block_T)
        return create_block_mask(sees, None, None, tokens, tokens, device=block_T.device.type)


@functools.cache
def _flex(device: str) -> Callable[..., Any]:
    """FlexAttention is fused only when compiled; on CPU it is for tests, and runs as it is."""
    from torch.nn.attention.flex_attention import flex_attention

    found: Any = flex_attention
    return torch.compile(found) if device == "cuda" else found

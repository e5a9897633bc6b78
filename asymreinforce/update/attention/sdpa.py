"""One call of PyTorch's SDPA for each segment; short blocks in masked rectangles.

The package's docstring has the legend of shapes.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention.bias import causal_lower_right

from asymreinforce.update.layers import left_uncompiled
from asymreinforce.update.packing import PackedRow, Segment, on_device

SHORT = 64
"""Blocks of at most this many tokens attend in masked rectangles: one call per block would cost
more than the masked half of the scores."""
FILLED = 0.7
"""Least share of tokens in a rectangle, so that a rectangle holds blocks of similar lengths."""


class Rectangle(NamedTuple):
    """N short blocks, next to each other in the row, in a padded rectangle."""

    index_M: Tensor
    """Index in the row of the token at each of the M = N L places; padding repeats a token."""
    mask_N1LL: Tensor
    positions_NL: Tensor
    places: Tensor
    """Index in M of each token of the blocks."""


class SdpaPlan:
    """One SDPA call for each segment of a long block, and one for each rectangle of short blocks.

    `linear` keeps the memory of a long segment linear in its length; the default is to do so on
    CUDA. Heads are then repeated, and the causal order is given without a mask.
    """

    def __init__(self, row: PackedRow, device: torch.device, *, linear: bool | None = None):
        # CUDA's only kernel for grouped heads in fp32, or with a mask, keeps all scores in memory
        self._linear = device.type == "cuda" if linear is None else linear
        long = [b for b in row.segments if b[-1].end - b[0].start > SHORT]
        short = [b for b in row.segments if b[-1].end - b[0].start <= SHORT]
        self._segments = [segment for block in long for segment in block]
        self._rectangles = [
            _make_rectangle(part, row.positions_T.cpu(), device) for part in _group_alike(short)
        ]

    @left_uncompiled
    def __call__(
        self, query: Tensor, key: Tensor, value: Tensor, *, scale: float | None, window: int | None
    ) -> Tensor:
        """Attend; returns out_1THD."""
        if self._linear:
            key, value = (
                x.repeat_interleave(query.shape[1] // x.shape[1], 1) for x in (key, value)
            )
        settings = {"scale": scale, "enable_gqa": query.shape[1] != key.shape[1]}
        attend = _segment_without_mask if self._linear and window is None else _segment_attention
        parts = [attend(query, key, value, segment, window, settings) for segment in self._segments]
        if self._rectangles:
            query_THD, key_TKD, value_TKD = (x[0].transpose(0, 1) for x in (query, key, value))
            parts += [
                _rectangle_attention(query_THD, key_TKD, value_TKD, rectangle, window, settings)
                for rectangle in self._rectangles
            ]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


def _segment_attention(
    query_1HTD: Tensor,
    key_1KTD: Tensor,
    value_1KTD: Tensor,
    segment: Segment,
    window: int | None,
    settings: dict[str, Any],
) -> Tensor:
    """Attend within one segment and its prefix; returns out_1SHD."""
    start, end, prefix = segment
    length, before = end - start, prefix.stop - prefix.start
    keys, values = _with_prefix(key_1KTD, segment), _with_prefix(value_1KTD, segment)
    mask_SP: Tensor | None = None
    if before or (window is not None and length > window):
        mask_SP = torch.ones(length, before + length, dtype=torch.bool, device=keys.device)
        mask_SP = mask_SP.tril(before)
        if window is not None:
            mask_SP = mask_SP.triu(before - window + 1)
    out_1HSD = F.scaled_dot_product_attention(
        query_1HTD[:, :, start:end],
        keys,
        values,
        attn_mask=mask_SP,
        is_causal=mask_SP is None,
        **settings,
    )
    return out_1HSD.transpose(1, 2)


def _segment_without_mask(
    query_1HTD: Tensor,
    key_1HTD: Tensor,
    value_1HTD: Tensor,
    segment: Segment,
    window: int | None,
    settings: dict[str, Any],
) -> Tensor:
    """Attend within one segment and its prefix, the last query to the last key; no window."""
    queries = query_1HTD[:, :, segment.start : segment.end]
    keys, values = _with_prefix(key_1HTD, segment), _with_prefix(value_1HTD, segment)
    order: Any = causal_lower_right(queries.shape[2], keys.shape[2])
    out_1HSD = F.scaled_dot_product_attention(queries, keys, values, attn_mask=order, **settings)
    return out_1HSD.transpose(1, 2)


def _with_prefix(keys_1KTD: Tensor, segment: Segment) -> Tensor:
    """Return the keys, or values, of a segment's prefix and of the segment."""
    start, end, prefix = segment
    segment_keys = keys_1KTD[:, :, start:end]
    if prefix.start == prefix.stop:
        return segment_keys
    return torch.cat([keys_1KTD[:, :, prefix], segment_keys], dim=2)


def _rectangle_attention(
    query_THD: Tensor,
    key_TKD: Tensor,
    value_TKD: Tensor,
    rectangle: Rectangle,
    window: int | None,
    settings: dict[str, Any],
) -> Tensor:
    """Attend within each block of a rectangle; returns out_1SHD of its tokens."""
    mask_N1LL, positions_NL = rectangle.mask_N1LL, rectangle.positions_NL
    if window is not None and window < positions_NL.shape[1]:
        distance_NLL = positions_NL[:, :, None] - positions_NL[:, None, :]
        mask_N1LL = mask_N1LL & (distance_NLL < window)[:, None]
    query, key, value = (
        x.index_select(0, rectangle.index_M).view(*positions_NL.shape, *x.shape[1:]).transpose(1, 2)
        for x in (query_THD, key_TKD, value_TKD)
    )
    out_NHLD = F.scaled_dot_product_attention(query, key, value, attn_mask=mask_N1LL, **settings)
    out_THD = out_NHLD.transpose(1, 2).flatten(0, 1).index_select(0, rectangle.places)
    return out_THD[None]


def _group_alike(blocks: Sequence[list[Segment]]) -> Iterator[list[list[Segment]]]:
    """Group blocks, longest first, so that no group's rectangle is emptier than `FILLED`."""
    part: list[list[Segment]] = []
    tokens = 0
    for block in blocks:
        length = block[-1].end - block[0].start
        longest = part[0][-1].end - part[0][0].start if part else length
        if part and tokens + length < FILLED * longest * (len(part) + 1):
            yield part
            part, tokens = [], 0
        part.append(block)
        tokens += length
    if part:
        yield part


def _make_rectangle(
    blocks: list[list[Segment]], positions_T: Tensor, device: torch.device
) -> Rectangle:
    starts = np.array([block[0].start for block in blocks])
    lengths = np.array([block[-1].end - block[0].start for block in blocks])
    width = int(lengths.max())
    inside_NL = np.arange(width) < lengths[:, None]
    index_NL = np.where(inside_NL, starts[:, None] + np.arange(width), starts[0])
    number_NL = np.zeros((len(blocks), width), dtype=np.int64)  # 0 the prompt, then each completion
    for row, block in enumerate(blocks):
        for number, segment in enumerate(block):
            number_NL[row, segment.start - starts[row] : segment.end - starts[row]] = number
    query, key = number_NL[:, :, None], number_NL[:, None, :]
    # Padding sees earlier tokens too: a row of scores that are all masked would be NaN.
    mask_NLL = np.tri(width, dtype=bool) & ((key == query) | (key == 0))
    return Rectangle(
        on_device(torch.from_numpy(index_NL.ravel()), device),
        on_device(torch.from_numpy(mask_NLL[:, None]), device),
        on_device(positions_T[torch.from_numpy(index_NL)], device),
        on_device(torch.from_numpy(np.flatnonzero(inside_NL)), device),
    )

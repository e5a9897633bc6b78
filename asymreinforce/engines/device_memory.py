"""The memory of a CUDA device: how many sequences `generate` can sample at once, what is cached."""

import gc
from typing import TYPE_CHECKING

from asymreinforce.model.model_config import ModelConfig

if TYPE_CHECKING:
    import torch

# The cache grows by copying a layer at a time, which leaves gaps in the memory.
SHARE = 0.8
"""Share of the free memory that a batch may fill."""

SCORE_BYTES = 20
"""Bytes per vocabulary entry in a sampling step: the head's logits (4), their fp32 copy (4), logits
divided by the temperature (4), probabilities (4), and random numbers (4) or log-probabilities
(4)."""

TOP_P_BYTES = 32
"""Further bytes per vocabulary entry with top-p: sorted scores (4) and indices (8), the sort's
workspace (12), the softmax of the sorted scores (4) and its cumulative sum (4)."""


def sequence_bytes(
    config: ModelConfig, *, prompt: int, completion: int, item: int, has_top_p: bool
) -> int | None:
    """Return the peak bytes per sequence: the key/value cache, plus scores or a prompt's layer.

    `prompt` and `completion` are lengths in tokens, `item` is the bytes of a number. Returns None
    if the model's configuration does not give its sizes.
    """
    decoder, vocabulary = config.decoder, config.vocabulary
    if decoder is None or vocabulary is None:
        return None
    cache = decoder.cached_numbers * (prompt + completion) * item
    scores = vocabulary * (SCORE_BYTES + TOP_P_BYTES * has_top_p)
    # MLP: gate, up, activation and product; width: residual, norm, attention's input and output
    layer = prompt * 4 * (decoder.intermediate + decoder.width) * item
    mask = prompt**2 * (1 + item)  # a boolean mask (1 byte) and its additive form
    # The layers of the prompt are freed before the first token is drawn, so only the larger counts.
    return cache + max(scores, layer + mask)


def sequences_at_once(device: "torch.device", needed: int | None, *, limit: int) -> int:
    """Return how many sequences of `needed` bytes fit a device's free memory, from 1 to `limit`.

    On CPU the answer is always `limit`.
    """
    # Rounding depends on the batch size, and on CPU the same settings must give the same bytes.
    if device.type != "cuda" or needed is None:
        return limit
    import torch

    torch.cuda.empty_cache()  # memory that torch keeps after training or a batch is free as well
    free, _ = torch.cuda.mem_get_info(device)
    return max(1, min(limit, int(SHARE * free) // needed))


def return_unused_memory() -> None:
    """Free torch's cached CUDA memory; do nothing if this process has not initialized CUDA.

    Another process's engine and vLLM's allocator cannot use memory that torch caches.
    """
    import torch

    gc.collect()  # tensors in reference cycles still hold their memory
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()

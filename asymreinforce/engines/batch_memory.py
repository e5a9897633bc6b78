"""How many sequences `generate` can hold at once in the memory of a CUDA device."""

import torch

from asymreinforce.model.model_config import ModelConfig

SHARE = 0.8
"""Of the free memory; the cache grows by a copy of a layer at a time, and leaves gaps behind."""

SCORE_BYTES = 20
"""Bytes a word of the vocabulary at the step that draws: logits as they leave the head (4), their
fp32 copy (4), divided by the temperature (4), probabilities (4), and random numbers (4) or
log-probabilities (4)."""

TOP_P_BYTES = 32
"""More, where top-p cuts: sorted scores (4) and indices (8), the sort's own workspace (12), their
softmax (4) and its sum (4)."""


def sequence_bytes(
    config: ModelConfig, *, prompt: int, completion: int, item: int, has_top_p: bool
) -> int | None:
    """Return the most bytes that a sequence needs: its cache, its scores, and its prompt's layers.

    `prompt` and `completion` are tokens, `item` is the bytes of a number. None for a model whose
    configuration does not tell its sizes.
    """
    decoder, vocabulary = config.decoder, config.vocabulary
    if decoder is None or vocabulary is None:
        return None
    cache = decoder.cached_numbers * (prompt + completion) * item
    scores = vocabulary * (SCORE_BYTES + TOP_P_BYTES * has_top_p)
    # gate, up, their product and its factor; the residual, its norm, attention's input and output
    layer = prompt * 4 * (decoder.intermediate + decoder.width) * item
    mask = prompt**2 * (1 + item)  # whether a token sees another, and the same as numbers to add
    return cache + max(scores, layer + mask)


def sequences_at_once(device: torch.device, needed: int | None, *, limit: int) -> int:
    """Return how many sequences of `needed` bytes fit what is free on a device, at most `limit`.

    A CPU takes `limit`: rounding depends on the batch, and bytes are promised there.
    """
    if device.type != "cuda" or needed is None:
        return limit
    torch.cuda.empty_cache()  # what training or the batch before left to torch is free as well
    free, _ = torch.cuda.mem_get_info(device)
    return max(1, min(limit, int(SHARE * free) // needed))

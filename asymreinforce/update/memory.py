"""A step that does not fit the memory of its device is taken again with shorter rows."""

from collections.abc import Callable
from typing import TypeVar

import torch

from asymreinforce.errors import DeviceMemoryError
from asymreinforce.progress import say
from asymreinforce.update.ranks import Ranks

Result = TypeVar("Result")

FEWEST_TOKENS = 64
"""Rows are not halved below this: one sequence is longer by then."""


def halving(
    compute: Callable[[int], Result], *, tokens: int, free: Callable[[], None], ranks: Ranks
) -> Result:
    """Compute with rows of `tokens` tokens; if memory runs out, say so and try with half of them.

    `free` gives memory back before the next try. Raises `DeviceMemoryError` if even short rows do
    not fit. Of several ranks each raises it at once: the others may wait for it in a collective, so
    only whoever started them can let all of them go back together (`experiment/launch.py`).
    """
    while True:
        try:
            return compute(tokens)
        except torch.OutOfMemoryError as error:
            reason = str(error).split(".")[0]
        # outside of the handler, whose traceback would keep the tensors of the failed step alive
        free()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        halved = tokens // 2
        if halved < FEWEST_TOKENS:
            raise DeviceMemoryError(
                f"out of memory with rows of {tokens} tokens ({reason}); "
                "set train.activation_checkpointing=true or use a larger device, and run the same "
                "command again (on CUDA the arm goes on from its last checkpoint), or train "
                "another arm with train.lora.rank or a smaller sampling.max_tokens"
            )
        if ranks.mesh:
            raise DeviceMemoryError(
                f"rank {ranks.number} is out of memory with rows of {tokens} tokens ({reason})",
                rows=halved,
            )
        tokens = halved
        say(
            f"out of memory: rows of {halved} tokens from here on "
            f"(train.tokens_per_micro_batch={halved} starts so)"
        )

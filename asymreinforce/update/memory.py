"""Device memory: a buffer for logits, and calls that are repeated with shorter rows."""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

import torch
from torch import Tensor

from asymreinforce.errors import DeviceMemoryError
from asymreinforce.progress import say
from asymreinforce.update.ranks import Ranks

if TYPE_CHECKING:
    from asymreinforce.update.trainer import Trainer

Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")

FEWEST_TOKENS = 64
"""Rows are not halved below this: by then a single sequence is longer than a row."""


class LogitsBuffer:
    """Memory for logits that is used again by every chunk.

    `view` overwrites the matrix that the call before returned.
    """

    def __init__(self) -> None:
        # kept between chunks: fresh pages for each would cost a third of a matrix product
        self._numbers = torch.empty(0)

    def view(self, rows: int, columns: int, like: Tensor) -> Tensor:
        """Return an uninitialised matrix of the dtype and device of `like`."""
        size, kept = rows * columns, self._numbers
        if kept.numel() < size or (kept.dtype, kept.device) != (like.dtype, like.device):
            del kept
            self.free()  # before the allocation, so that old and new memory do not add up
            self._numbers = like.new_empty(size)
        return self._numbers[:size].view(rows, columns)

    def free(self) -> None:
        """Free the buffer."""
        self._numbers = torch.empty(0)


def halving_rows(
    function: Callable[Concatenate["Trainer", Arguments], Result],
) -> Callable[Concatenate["Trainer", Arguments], Result]:
    """Call a trainer's function; if memory runs out, halve the tokens of a row, say so, call again.

    Later calls keep the shorter rows. Raises `DeviceMemoryError` if even short rows do not fit, or
    at once if there are several ranks.
    """

    @functools.wraps(function)
    def call_until_it_fits(
        trainer: "Trainer", /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Result:
        while True:
            try:
                return function(trainer, *args, **kwargs)
            except torch.OutOfMemoryError as error:
                reason = str(error).split(".")[0]
            # outside of the handler: its traceback would keep the tensors of the failed step
            trainer.free()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            tokens = trainer.tokens_per_micro_batch
            trainer.tokens_per_micro_batch = halve_tokens(tokens, trainer.ranks, reason)

    return call_until_it_fits


def halve_tokens(tokens: int, ranks: Ranks, reason: str) -> int:
    """Return half of a row's tokens and say so; raise `DeviceMemoryError` if that cannot help."""
    half = tokens // 2
    if half < FEWEST_TOKENS:
        raise DeviceMemoryError(
            f"out of memory with rows of {tokens} tokens ({reason}); "
            "set train.activation_checkpointing=true or use a larger device, and run the same "
            "command again (on CUDA the arm goes on from its last checkpoint), or train "
            "another arm with train.lora.rank or a smaller sampling.max_tokens"
        )
    # other ranks may wait for this rank in a collective: only the process that started them can
    # start all of them again with shorter rows (`experiment/launch.py`)
    if ranks.mesh:
        raise DeviceMemoryError(
            f"rank {ranks.number} is out of memory with rows of {tokens} tokens ({reason})",
            rows=half,
        )
    say(
        f"out of memory: rows of {half} tokens from here on "
        f"(train.tokens_per_micro_batch={half} starts so)"
    )
    return half

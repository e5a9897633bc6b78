"""A rank as it is, but that the second one's device holds no rows of more than 100 tokens."""

import sys
from pathlib import Path
from typing import Any

from asymreinforce.experiment import worker

LONGEST = 100


def run_short_of_memory() -> None:
    """In the middle of a step, where the other rank waits in a collective."""
    import torch

    from asymreinforce.update.trainer import Trainer

    linear = Trainer._linear

    def tight(trainer: Trainer, *arguments: Any) -> Any:
        if trainer.tokens_per_micro_batch > LONGEST and not trainer.ranks.is_first:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
        return linear(trainer, *arguments)

    Trainer._linear = tight  # type: ignore[assignment, method-assign]


if __name__ == "__main__":
    run_short_of_memory()
    worker.main(Path(sys.argv[1]))

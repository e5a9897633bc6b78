"""A rank as it is, but that the second one is killed in the middle of the third step."""

import os
import signal
import sys
from pathlib import Path

from torch import Tensor

from asymreinforce.experiment import worker


def die_in_step_3() -> None:
    """Between the backward pass and the optimizer, where every rank waits for every other."""
    from asymreinforce.update.trainer import Trainer

    gradient_norm, calls = Trainer._gradient_norm, [0]

    def fatal(trainer: Trainer) -> Tensor:
        calls[0] += 1
        if calls[0] == 3 and not trainer.ranks.is_first:
            os.kill(os.getpid(), signal.SIGKILL)
        return gradient_norm(trainer)

    Trainer._gradient_norm = fatal  # type: ignore[assignment, method-assign]


if __name__ == "__main__":
    die_in_step_3()
    worker.main(Path(sys.argv[1]))

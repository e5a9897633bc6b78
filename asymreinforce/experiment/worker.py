"""One rank of an arm: `torchrun -m asymreinforce.experiment.worker CONFIG.json`.

`launch.py` starts this module, and its docstring describes the standard streams.
"""

import json
import os
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

from asymreinforce.config import parse_config
from asymreinforce.data import files
from asymreinforce.errors import DeviceMemoryError
from asymreinforce.progress import Tell, hush_output, relay_output

LONGEST = 1000
"""The most characters of an error's message: a pipe keeps a line of up to 4,096 bytes whole."""


def main(config_file: Path) -> None:
    """Train as the rank that torchrun's environment names; exit with code 1 on an error."""
    tell = _keep_stdout_for_events()
    threading.Thread(target=_stop_with_the_parent, daemon=True).start()
    try:
        _train_as_rank(config_file, tell)
    except BaseException as error:
        traceback.print_exc()
        rows = error.rows if isinstance(error, DeviceMemoryError) else None
        tell(
            {
                "error": str(error)[:LONGEST],
                "kind": type(error).__name__,
                "rank": int(os.environ["RANK"]),
                "rows": rows,
            }
        )
        # at once: clean-up would wait for ranks that wait for this rank in a collective
        os._exit(1)


def _train_as_rank(config_file: Path, tell: Tell) -> None:
    from asymreinforce.experiment.arm import train_rank
    from asymreinforce.update.ranks import join_ranks

    config = parse_config(files.read_json(config_file))
    is_first = os.environ["RANK"] == "0"
    with (
        relay_output(tell) if is_first else hush_output(),
        join_ranks(config.train.device, nodes_apart=config.train.sharding == "node") as ranks,
    ):
        train_rank(config, ranks)


def _keep_stdout_for_events() -> Tell:
    """Keep standard output for events, and send the prints of libraries to standard error."""
    channel = os.dup(1)
    os.dup2(2, 1)

    def tell(event: dict[str, Any]) -> None:
        os.write(channel, f"{json.dumps(event)}\n".encode())

    return tell


def _stop_with_the_parent() -> None:
    # standard input ends when the process that launched the ranks stops or dies
    while os.read(0, 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

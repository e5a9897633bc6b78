"""What the pool knows of each worker: its stream, and the rows that it was given."""

import socket
from typing import NamedTuple

from asymreinforce.grading.pool.protocol import Lines
from asymreinforce.grading.verdict import GradedRow


class GradingJob(NamedTuple):
    """Rows that stand together; `first` is the place of the first among all rows."""

    first: int
    rows: list[GradedRow]
    alone: bool = False
    """A single row that ended a worker before: it needs a fresh one."""


class WorkerSlot:
    """A worker's place: its stream, the job it is at, and how many of its rows are judged."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.stream: socket.socket | None = None
        self.lines = Lines()
        self.job: GradingJob | None = None
        self.judged = 0
        self.fresh = True
        self.sent_at = 0.0
        self.killed_at: float | None = None
        self.was_late = False

    def close(self) -> None:
        """Close the stream, if there is one."""
        if self.stream is not None:
            self.stream.close()

    @property
    def is_idle(self) -> bool:
        """Whether a job can be given to it."""
        return self.job is None and self.killed_at is None

"""The state that the pool keeps of each worker: its stream and its job."""

import socket
from typing import NamedTuple

from asymreinforce.grading.pool.protocol import Lines
from asymreinforce.grading.verdict import GradedRow


class GradingJob(NamedTuple):
    """Consecutive rows; `first` is the place of the first row among all rows."""

    first: int
    rows: list[GradedRow]
    alone: bool = False
    """Whether this is a single row that ended a worker before and needs a fresh worker."""


class WorkerSlot:
    """A place for one worker at a time: its stream, its job, and the judged rows of the job."""

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
        """Close the stream, if there is a stream."""
        if self.stream is not None:
            self.stream.close()

    @property
    def is_idle(self) -> bool:
        """Whether the worker can take a job."""
        return self.job is None and self.killed_at is None

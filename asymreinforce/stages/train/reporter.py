"""Report the progress of an arm in training, to a file and to the terminal."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asymreinforce.data import files
from asymreinforce.data.arm_progress import (
    NUMBERS,
    ArmProgress,
    State,
    progress_path,
    publish_progress,
    read_progress,
    words,
)
from asymreinforce.progress import say

SECONDS_BETWEEN_FILES = 1.0
"""Rare enough for a file server with hundreds of arms, and as often as a watcher reads the file."""
SECONDS_BETWEEN_LINES = 60.0


class Reporter:
    """Write an arm's progress to a file, and print it at each checkpoint and once a minute.

    With several ranks, only the first rank reports; on other ranks nothing is written or printed.
    """

    def __init__(self, directory: Path, *, steps: int, done: int, is_first: bool):
        self._directory, self._is_first = directory, is_first
        self._progress = ArmProgress(done, steps, "running", from_step=done)
        self._tokens = 0
        self._began = self._written = self._said = 0.0

    def begin(self, *, goes_on: bool) -> None:
        """Start the clock before the first step; `goes_on` keeps the clock of earlier rounds.

        The estimate of the time left then includes generating rollouts between rounds.
        """
        before = None
        if self._is_first:
            before = read_progress(self._directory)
            files.remove_leftovers(progress_path(self._directory).parent, below=False)
        since, from_step = time.time(), self._progress.step
        if before and before.is_mine and goes_on and before.step == self._progress.step:
            since, from_step = before.since, before.from_step
        if before and before.step == self._progress.step:
            numbers = {name: getattr(before, name) for name in NUMBERS}
            self._progress = self._progress._replace(**numbers)
        self._progress = self._progress._replace(since=since, from_step=from_step)
        self._began = self._said = time.monotonic()
        self._write()

    def after(
        self, step: int, metrics: Mapping[str, Any], *, steps: int, tokens: int, is_checkpoint: bool
    ) -> None:
        """Report a step if a report is due; `steps` is the number of steps planned for the arm."""
        self._tokens += tokens
        now = time.monotonic()
        seen = {name: metrics[name] for name in NUMBERS if metrics.get(name) is not None}
        self._progress = self._progress._replace(step=step, steps=steps, **seen)
        if not self._is_first:
            return
        if is_checkpoint or now - self._written >= SECONDS_BETWEEN_FILES:
            self._write()
        if is_checkpoint or now - self._said >= SECONDS_BETWEEN_LINES:
            self._said = now
            say(f"train: {words(self._progress)}")

    def ended(self, state: State, reason: str = "") -> None:
        """Report how the arm ended, or why it stopped."""
        first_line = next(iter(reason.strip().splitlines()), "")
        self._progress = self._progress._replace(state=state, reason=first_line)
        self._write()

    def _write(self) -> None:
        if not self._is_first:
            return
        now = self._written = time.monotonic()
        progress = self._progress
        taken = progress.step - progress.from_step
        each = (time.time() - progress.since) / taken if taken else None
        left = progress.steps - progress.step if progress.state == "running" else 0
        self._progress = progress._replace(
            seconds_left=each * left if each and left else None,
            tokens_per_second=self._tokens / (now - self._began) if self._tokens else None,
        )
        publish_progress(self._directory, self._progress)

"""The statuses of a verdict. Light: graders' processes import it."""

from typing import Literal

Status = Literal["ok", "no_answer", "timeout", "error"]
STATUSES: tuple[Status, ...] = ("ok", "no_answer", "timeout", "error")
UNJUDGED: tuple[Status, ...] = ("timeout", "error")
"""Statuses that say nothing about the completion: the grader failed, not the answer."""

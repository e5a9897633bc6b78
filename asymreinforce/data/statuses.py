"""The statuses of a verdict."""

# The module imports nothing heavy, because every grader's process imports it.

from typing import Literal

Status = Literal["ok", "no_answer", "timeout", "error"]
STATUSES: tuple[Status, ...] = ("ok", "no_answer", "timeout", "error")
UNJUDGED: tuple[Status, ...] = ("timeout", "error")
"""Statuses of a grader that failed; they say nothing about the completion."""

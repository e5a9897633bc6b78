"""Graders and their verdicts: is this completion right, and why not."""

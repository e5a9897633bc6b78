"""Intervals and tests for arms with a few seeds and a few hundred evaluation prompts."""

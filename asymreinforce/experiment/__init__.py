"""The experiment: its inputs made once, its arms, their evaluation, and the summary."""

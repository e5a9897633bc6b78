"""The report of the theory bench."""

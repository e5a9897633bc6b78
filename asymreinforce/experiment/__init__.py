"""An experiment: shared inputs that are made once, its arms, their evaluation, the summary."""

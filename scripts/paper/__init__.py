"""The counterpart of each figure of the paper (Arnal et al. 2025), and what agrees with it."""

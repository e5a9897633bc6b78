"""Draw a counterpart of each figure of the paper (Arnal et al. 2025), and compare the results."""

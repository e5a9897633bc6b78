"""Estimate the sizes of a model, the memory of a step, and the cost of a sweep."""

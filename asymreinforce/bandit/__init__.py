"""The theory bench: the paper's tabular softmax bandit, computed exactly, and its closed forms.

Shapes in this package: C chain (one bandit, one V, one learning rate), A arm, T step, N sampled
arm, R recorded moment. All tensors are float64.
"""

"""Off-policy REINFORCE on language models, with a swept baseline.

`docs/internals/architecture.md` explains the architecture; `asymreinforce/algorithm/objective.py`
holds the algorithm.
"""

__version__ = "0.2.0"

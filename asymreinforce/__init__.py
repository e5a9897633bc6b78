"""Off-policy REINFORCE on language models, with a swept baseline.

The architecture is told in `docs/internals/architecture.md`; the algorithm stands in
`asymreinforce/algorithm/objective.py`.
"""

__version__ = "0.2.0"

"""log pi and log mu of the tokens of some sequences, and their sums over each sequence.

    log rho_t = log pi(y_t|x, y_<t) - log mu(y_t|x, y_<t)     log ratio of a token
    log rho   = sum_t log rho_t                               log ratio of a sequence

Shapes: B sequences, C completion tokens of all sequences end to end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor


class TokenLogps(NamedTuple):
    """The inputs of a loss that needs log pi and log mu of each token."""

    logps_C: Tensor
    behaviour_logps_C: Tensor
    """log mu, which carries no gradient."""
    advantages_B: Tensor
    sequence_of_C: Tensor
    """Place in B of each token (int64)."""
    groups_B: Tensor | None = None
    """An integer per sequence, equal for the samples of one prompt; None in a micro-batch."""
    correct_B: Tensor | None = None
    """Whether each sequence is correct; None in a micro-batch."""

    @property
    def advantages_C(self) -> Tensor:
        """A of each token's sequence."""
        return self.advantages_B[self.sequence_of_C]

    @property
    def log_ratio_C(self) -> Tensor:
        """log rho_t of each token."""
        return self.logps_C - self.behaviour_logps_C

    @property
    def log_ratio_B(self) -> Tensor:
        """log rho of each sequence."""
        return self.sums(self.log_ratio_C)

    @property
    def logp_B(self) -> Tensor:
        """log pi(y|x) of each sequence."""
        return self.sums(self.logps_C)

    def sums(self, values_C: Tensor) -> Tensor:
        """Sum the tokens' values over each sequence   (B,)."""
        sums_B = values_C.new_zeros(len(self.advantages_B))
        return sums_B.index_add_(0, self.sequence_of_C, values_C)

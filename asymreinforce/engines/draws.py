"""Record the tokens that `generate` draws, each with its log-probability.

Only the current step's scores over the vocabulary are in memory, however long a completion is.

Shapes: B sequences, T tokens, V vocabulary.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from asymreinforce.engines.failure import require_finite
from asymreinforce.engines.protocol import Completion

Warper = Callable[[Tensor, Tensor], Tensor]
"""(ids_BT, scores_BV) -> scores_BV"""


@dataclasses.dataclass
class Draw:
    """A completion of one prompt that may be unfinished; it holds nothing after its end token."""

    prompt: Sequence[int]
    tokens: list[int] = dataclasses.field(default_factory=list)
    logps: list[float] = dataclasses.field(default_factory=list)

    def extend(self, tokens: list[int], logps: list[float], *, ends: tuple[int, ...]) -> None:
        """Append tokens with their log-probabilities, up to and with the first end token."""
        # `generate` pads a sequence that ended before others of its batch
        end = next((i for i, token in enumerate(tokens) if token in ends), len(tokens))
        self.tokens += tokens[: end + 1]
        self.logps += logps[: end + 1]

    def has_ended(self, ends: tuple[int, ...]) -> bool:
        """Tell whether the last token is an end token."""
        return bool(self.tokens) and self.tokens[-1] in ends

    def completion(self, ends: tuple[int, ...]) -> Completion:
        """Return the completion; raises `EngineError` if a log-probability is not finite."""
        return Completion(
            self.tokens, require_finite(self.logps), "stop" if self.has_ended(ends) else "length"
        )


class DrawRecorder:
    """Callbacks of `generate` that warp each step's scores and record the drawn tokens."""

    def __init__(self, warpers: Sequence[Warper], *, width: int, with_logps: bool):
        self._warpers, self._width, self._with_logps = warpers, width, with_logps
        self._ids_BT: Tensor | None = None
        self._scores_BV: Tensor | None = None
        self._logps: list[Tensor] = []

    def warp_scores(self, ids_BT: Tensor, scores_BV: Tensor) -> Tensor:
        """Return the scores of the next token's distribution (a logits processor)."""
        for warp in self._warpers:
            scores_BV = warp(ids_BT, scores_BV)
        self._scores_BV = scores_BV
        return scores_BV

    def note_tokens(self, ids_BT: Tensor, scores: Any) -> bool:
        """Record the newest token of each sequence; always return False (a stopping criterion)."""
        assert self._scores_BV is not None
        if self._with_logps:
            # of the warped scores: log mu is of the distribution that the token was drawn from
            logps_BV = self._scores_BV.float().log_softmax(-1)
            self._logps.append(logps_BV.gather(1, ids_BT[:, -1:])[:, 0])
        self._scores_BV = None  # frees B x V numbers before the next forward pass
        self._ids_BT = ids_BT
        return False

    def drawn(self) -> list[tuple[list[int], list[float]]]:
        """Return each sequence's tokens and log-probabilities (empty if they are not recorded)."""
        if self._ids_BT is None:
            return []
        tokens = self._ids_BT[:, self._width :].tolist()
        by_step = [logps_B.tolist() for logps_B in self._logps]
        return [
            (row, [logps_B[number] for logps_B in by_step]) for number, row in enumerate(tokens)
        ]

"""The diagnostic set: fixed rollouts on which the diagnostics of every arm of a sweep are taken."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from asymreinforce.algorithm.diagnostics import importance_weights, kl_divergence
from asymreinforce.update.log_probs import sequence_sums
from asymreinforce.update.packing import Sequences
from asymreinforce.update.trainer import Trainer


class DiagnosticScores(NamedTuple):
    """Log-probabilities of the set's completions, and the mean entropy of its tokens, in nats."""

    logps_B: Tensor
    token_entropy: float


class DiagnosticSet:
    """Rollouts that are never resampled, and whether each is correct.

    `is_from_policy`: whether the rollouts were drawn at temperature 1 and top-p 1, so that their
    means estimate expectations under mu.
    """

    def __init__(self, sequences: Sequences, *, correct_B: np.ndarray, is_from_policy: bool):
        self._sequences = sequences
        self._correct_B = torch.from_numpy(correct_B)
        self.is_from_policy = is_from_policy

    @torch.no_grad()
    def measure(self, trainer: Trainer) -> DiagnosticScores:
        """Compute log pi(y|x) of each completion, and the mean entropy of the next token."""
        logps_B = torch.zeros(len(self._sequences.prompts), dtype=torch.float64)
        entropy, count = 0.0, 0
        with trainer.scoring():
            for row in trainer.rows(self._sequences):
                scores = trainer.scorer.scores(row, entropy=True)
                assert scores.entropies_C is not None
                logps_B[row.members] = sequence_sums(scores.logps_C, row).double().cpu()
                entropy += float(scores.entropies_C.sum())
                count += len(scores.logps_C)
        *logps, entropy, count = trainer.ranks.sum(np.array([*logps_B, entropy, count]))
        return DiagnosticScores(torch.tensor(logps, dtype=torch.float64), float(entropy / count))

    def metrics(
        self, measured: DiagnosticScores, behaviour_logps_B: Tensor
    ) -> dict[str, float | None]:
        """Return the diagnostics by name; KL and weights only if the set was drawn from mu."""
        logps_B = measured.logps_B
        diagnostics: dict[str, float | None] = {
            "token_entropy": measured.token_entropy,
            "slice_logp_correct": mean_of(logps_B[self._correct_B]),
            "slice_logp_incorrect": mean_of(logps_B[~self._correct_B]),
        }
        if self.is_from_policy:
            weights = importance_weights(behaviour_logps_B, logps_B)
            diagnostics |= {
                "kl": kl_divergence(behaviour_logps_B, logps_B),
                "ess": weights.effective_share,
                "log_mean_weight": weights.log_mean,
                "max_weight_share": weights.largest_share,
            }
        return diagnostics


def mean_of(values: Tensor) -> float | None:
    """Return the mean, None if there are no values."""
    return float(values.mean()) if len(values) else None

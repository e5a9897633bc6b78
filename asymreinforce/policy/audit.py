"""Recompute the log-probabilities of stored rollouts with the model that is to train.

Shapes: C completion tokens of a micro-batch, V vocabulary.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from asymreinforce.algorithm import mismatch
from asymreinforce.algorithm.mismatch import Evidence, Mismatch
from asymreinforce.policy.layout import Sequences, lay_out, micro_batches, rows_of
from asymreinforce.policy.logps import token_logits

if TYPE_CHECKING:
    from transformers import PreTrainedModel

EVIDENCE_VALUES = 50_000_000
"""Logits that evidence is gathered from: so many tokens times the vocabulary."""


class Audit(NamedTuple):
    """The figures of an audit, and what tells causes apart."""

    found: Mismatch
    traces: Evidence


@torch.no_grad()
def audit(
    model: "PreTrainedModel",
    sequences: Sequences,
    behaviour_logps: Sequence[np.ndarray],
    *,
    tokens: int,
) -> Audit:
    """Compare log pi of each completion's tokens with `behaviour_logps`, the engine's.

    `tokens` bounds a micro-batch. Gathers evidence from the first tokens alone: it costs a pass
    over the vocabulary for each temperature that is tried.
    """
    logps, behaviour, numbers = [], [], []
    kept_logits, kept_targets, kept = [], [], 0
    for rows in micro_batches(rows_of(sequences), tokens=tokens):
        members = [member for row in rows for member in row.members]
        batch = lay_out(sequences, rows, device=model.device)
        logits_CV = token_logits(model, batch)
        logps.append(logits_CV.log_softmax(-1).gather(1, batch.targets_C[:, None])[:, 0].cpu())
        stored_C = torch.from_numpy(np.concatenate([behaviour_logps[m] for m in members]))
        behaviour.append(stored_C)
        numbers.append(torch.tensor(members)[batch.sequence_of_C.cpu()])
        wanted = max(1, EVIDENCE_VALUES // logits_CV.shape[1]) - kept
        if wanted > 0:
            kept_logits.append(logits_CV[:wanted].float().cpu())
            kept_targets.append(batch.targets_C[:wanted].cpu())
            kept += len(kept_targets[-1])
    behaviour_C = torch.cat(behaviour)
    return Audit(
        mismatch.measure(torch.cat(logps), behaviour_C, torch.cat(numbers)),
        mismatch.evidence(torch.cat(kept_logits), torch.cat(kept_targets), behaviour_C[:kept]),
    )

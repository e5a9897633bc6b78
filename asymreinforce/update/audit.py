"""Recompute the log-probabilities of stored rollouts with the model that is about to train.

Shapes: C completion tokens of all rollouts, V vocabulary.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from asymreinforce.algorithm import mismatch
from asymreinforce.algorithm.mismatch import Evidence, Mismatch
from asymreinforce.update.log_probs import Scorer
from asymreinforce.update.packing import Sequences, pack_rows

EVIDENCE_VALUES = 50_000_000
"""Number of logits (tokens times vocabulary) that the evidence is gathered from."""


class Audit(NamedTuple):
    """The figures of an audit, and the traces that tell its causes apart."""

    mismatch: Mismatch
    traces: Evidence


@torch.no_grad()
def audit_logps(
    scorer: Scorer,
    sequences: Sequences,
    behaviour_logps: Sequence[np.ndarray],
    *,
    tokens: int,
) -> Audit:
    """Compare log pi of each completion token with the engine's `behaviour_logps`.

    `tokens` is the largest number of tokens of a packed row.
    """
    logps, behaviour, numbers = [], [], []
    for row in pack_rows(sequences, tokens=tokens):
        logps.append(scorer.scores(row).logps_C.float().cpu())
        behaviour += [behaviour_logps[member] for member in row.members]
        numbers.append(torch.tensor(row.members)[row.sequence_of_C])
    figures = mismatch.measure_mismatch(
        torch.cat(logps), torch.from_numpy(np.concatenate(behaviour)), torch.cat(numbers)
    )
    # from the first rollouts only: each temperature costs a pass over the vocabulary
    return Audit(figures, _first_evidence(scorer, sequences, behaviour_logps))


def _first_evidence(
    scorer: Scorer, sequences: Sequences, behaviour_logps: Sequence[np.ndarray]
) -> Evidence:
    """Gather evidence from the first rollouts, as many as `EVIDENCE_VALUES` allows."""
    model: Any = scorer.model
    vocabulary = int(model.get_output_embeddings().weight.shape[0])
    longest = max(len(x) + len(y) for x, y in zip(*sequences, strict=True))
    count = max(1, EVIDENCE_VALUES // (vocabulary * longest))
    first = sequences.take(range(min(count, len(sequences.prompts))))
    return mismatch.gather_evidence(
        _completion_logits(model, first),
        torch.from_numpy(np.concatenate(first.completions).astype(np.int64)),
        torch.from_numpy(np.concatenate(behaviour_logps[: len(first.prompts)])),
    )


def _completion_logits(model: Any, sequences: Sequences) -> Tensor:
    """Return the logits that predict each completion token, by the model's own forward, in fp32."""
    whole = [
        torch.from_numpy(np.concatenate([prompt, completion]).astype(np.int64))
        for prompt, completion in zip(*sequences, strict=True)
    ]
    # padded on the right: causal attention never looks there, so no mask is needed
    ids_BT = torch.nn.utils.rnn.pad_sequence(whole, batch_first=True).to(model.device)
    logits_BTV: Tensor = model(input_ids=ids_BT, use_cache=False).logits
    parts = [
        logits_TV[len(prompt) - 1 : len(prompt) + len(completion) - 1]
        for logits_TV, prompt, completion in zip(logits_BTV, *sequences, strict=True)
    ]
    return torch.cat(parts).float().cpu()

"""The diagnostic set of an arm, and the check that the model knows the tokens of rollouts."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from asymreinforce.config import ExperimentConfig
from asymreinforce.data.rollouts import ScoredRollouts
from asymreinforce.data.rows import Rows
from asymreinforce.data.token_ids import largest_token
from asymreinforce.errors import InputError
from asymreinforce.model.model_config import vocabulary_of
from asymreinforce.stages.train.objective import ArmObjective
from asymreinforce.update.diagnostic_set import DiagnosticSet

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def diagnostic_set(
    config: ExperimentConfig,
    scored: ScoredRollouts,
    objective: ArmObjective,
    model: "PreTrainedModel",
    *,
    checkpoint: Path,
) -> DiagnosticSet:
    """Return the rollouts of the first `train.slice_prompts` prompts, the same for every arm.

    Raises `InputError` if none of these rollouts was judged, or the model does not know a token.
    """
    rows = scored.read(scored.chunks[0])
    starts = rows.group_starts
    rows = rows.take(np.arange(starts[min(config.train.slice_prompts, len(starts) - 1)]))
    require_known_tokens(model, rows, checkpoint=checkpoint)
    rewarded = objective.rewards(rows)
    if not len(rewarded.reward_B):
        raise InputError(
            f"none of the {len(rows.prompts)} rollouts of the diagnostic set was judged; see "
            "the counts that 'asymrl score' prints, raise reward.cpu_limit_s or "
            "train.slice_prompts, or set reward.unjudged=incorrect"
        )
    return DiagnosticSet(
        rewarded.sequences,
        correct_B=rewarded.correct_B.numpy(),
        # KL and effective sample size are estimates of expectations under mu itself
        is_from_policy=not scored.is_imported
        and config.sampling.temperature == 1
        and config.sampling.top_p == 1,
    )


def require_known_tokens(model: "PreTrainedModel", rows: Rows, *, checkpoint: Path) -> None:
    """Raise `InputError` if rows hold a token outside the vocabulary of the model."""
    vocabulary = vocabulary_of(model)
    largest = largest_token([*rows.prompts, *rows.completions])
    if largest >= vocabulary:
        raise InputError(
            f"{checkpoint}: knows {vocabulary} tokens, but the rollouts hold token "
            f"{largest}; they were made with another tokenizer, generate them with this one"
        )

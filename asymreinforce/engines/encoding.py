"""Encode prompts to token ids, and decode completions for graders and people."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from asymreinforce.config import ExperimentConfig
from asymreinforce.engines.protocol import Completion
from asymreinforce.errors import InputError
from asymreinforce.model import model_config
from asymreinforce.model.prompts import PromptEncoder
from asymreinforce.progress import say

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def encode_prompts(
    questions: pa.Table,
    tokenizer: "PreTrainedTokenizerBase",
    config: ExperimentConfig,
    *,
    checkpoint: Path,
    warns: bool = True,
) -> list[list[int]]:
    """Render prompts by `model/prompts.py` and return their token ids.

    Prints warnings (`warn_of_odd`) unless the caller has printed them for all shards. Raises
    `InputError` if a prompt plus `max_tokens` exceeds the context, or if a token id is outside the
    model's vocabulary.
    """
    declared = model_config.of_checkpoint(checkpoint)
    limit = min(config.policy.context, declared.context or config.policy.context)
    known = declared.vocabulary or len(tokenizer)
    # One limit for rollouts and evaluations: the longer of their completions must fit.
    room = limit - max(config.sampling.max_tokens, config.evaluation.sampling.max_tokens)
    encoder = PromptEncoder(tokenizer, config.task)
    encoded = []
    rows = questions.to_pylist()
    if warns:
        warn_of_odd(rows, tokenizer, config)
    for row in rows:
        tokens = encoder.encode(row)
        if not tokens or len(tokens) > room:
            raise InputError(
                f"prompt {row['prompt_id']} has {len(tokens)} tokens; between 1 and {room} fit a "
                f"context of {limit} with max_tokens to come; raise policy.context (if the "
                "model allows), lower sampling.max_tokens, or leave long questions out by "
                "task.max_characters"
            )
        if max(tokens) >= known:
            raise InputError(
                f"prompt {row['prompt_id']} has the token {max(tokens)}, and the model knows "
                f"{known}: its tokenizer is another model's, or has tokens that were added since; "
                "restore the tokenizer of this checkpoint"
            )
        encoded.append(tokens)
    return encoded


def warn_of_odd(
    rows: Iterable[Mapping[str, Any]],
    tokenizer: "PreTrainedTokenizerBase",
    config: ExperimentConfig,
) -> None:
    """Warn of questions that look rendered already, and of settings that change no prompt.

    `rows` have the columns of PROMPTS.
    """
    encoder = PromptEncoder(tokenizer, config.task)
    for line in encoder.unused_settings:
        say(f"warning: {line}")
    rendered, count = 0, 0
    for row in rows:
        count += 1
        rendered += encoder.renders_twice(row)
    if rendered:
        say(
            f"warning: {rendered} of {count} questions hold special tokens' names or chat markup, "
            "which a prompt contains as plain text; if the questions are rendered prompts, give "
            "only the questions themselves"
        )


def decode_completions(
    completions: list[Completion], tokenizer: "PreTrainedTokenizerBase"
) -> list[str]:
    """Decode completions without their end-of-sequence token."""
    # Only the last token is cut off: other special tokens stay visible to graders and people.
    tokens = [c.token_ids[:-1] if c.finish_reason == "stop" else c.token_ids for c in completions]
    decoded: list[str] = tokenizer.batch_decode(tokens, skip_special_tokens=False)
    return decoded

"""Between text and token ids: prompts are encoded once, completions decoded for people."""

from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from asymreinforce.config import ExperimentConfig
from asymreinforce.engines.protocol import Completion
from asymreinforce.errors import InputError
from asymreinforce.policy.checkpoint import context_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def encode_prompts(
    questions: pa.Table,
    tokenizer: "PreTrainedTokenizerBase",
    config: ExperimentConfig,
    *,
    checkpoint: Path,
) -> list[list[int]]:
    """Tokenize prompts once; special tokens that stand in a question stay text.

    Raises `InputError` where one is too long for the context with `max_tokens` to come.
    """
    limit = min(config.policy.context, context_of(checkpoint) or config.policy.context)
    room = limit - max(config.sampling.max_tokens, config.evaluation.sampling.max_tokens)
    encoded = []
    for prompt_id, text in zip(
        questions.column("prompt_id").to_pylist(),
        questions.column("question").to_pylist(),
        strict=True,
    ):
        tokens = encode_question(text, tokenizer, config)
        if not tokens or len(tokens) > room:
            raise InputError(
                f"prompt {prompt_id} has {len(tokens)} tokens; between 1 and {room} fit a context "
                f"of {limit} with max_tokens to come; raise policy.context (the model's own limit "
                "allowing), lower sampling.max_tokens, or leave the prompt out"
            )
        encoded.append(tokens)
    return encoded


def encode_question(
    text: str, tokenizer: "PreTrainedTokenizerBase", config: ExperimentConfig
) -> list[int]:
    """Tokenize one question in the task's template."""
    prompt = config.task.template.replace("{question}", text)
    tokens: list[int] = tokenizer.encode(prompt, split_special_tokens=True)
    return tokens


def texts(completions: list[Completion], tokenizer: "PreTrainedTokenizerBase") -> list[str]:
    """Decode completions for graders and people, the end-of-sequence token left out."""
    tokens = [c.token_ids[:-1] if c.finish_reason == "stop" else c.token_ids for c in completions]
    decoded: list[str] = tokenizer.batch_decode(tokens, skip_special_tokens=False)
    return decoded

"""The embedded behaviour policy: a tiny Llama that is warmed up on the questions of a world.

Warm-up uses correct examples only, in the world's two answer styles, worked and direct. Worked
answers are frequent at first, so that the policy learns them, and then rare, so that the policy
seldom writes them: reinforcement has to learn to choose them. In a world with one answer style,
warm-up is so short that answers are often wrong.
"""

import itertools
import random
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional as F

from asymreinforce.config import EmbeddedConfig, PolicyConfig, WarmUpConfig
from asymreinforce.model.checkpoint import quiet_transformers
from asymreinforce.progress import Advance
from asymreinforce.tasks import cups
from asymreinforce.tasks.world import Puzzle, World

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

END = "<|end|>"
PIECES = r" ?[A-Za-z]+:?| ?\d|-\d| ?[^\sA-Za-z\d]+|\s+"
"""Splits text into pieces such as ` 4`, `-3` and ` Answer:`; BPE merges never cross a split."""


def train_tokenizer(texts: list[str], *, vocabulary: int) -> "PreTrainedTokenizerFast":
    """Train a byte-level BPE tokenizer of at most `vocabulary` tokens; any text can be encoded."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=END)


def random_model(
    config: EmbeddedConfig, *, context: int, tokens: int, end_token: int, seed: int
) -> "PreTrainedModel":
    """Make a small Llama with random weights, drawn from `seed` alone."""
    from transformers import LlamaConfig, LlamaForCausalLM

    architecture = LlamaConfig(
        vocab_size=tokens,
        hidden_size=config.width,
        intermediate_size=config.intermediate,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.heads,
        max_position_embeddings=context,
        bos_token_id=None,
        eos_token_id=end_token,
        pad_token_id=end_token,
        tie_word_embeddings=False,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(architecture)


def learning_rate_factor(step: int, config: WarmUpConfig) -> float:
    """Return the factor on the learning rate: a linear rise, then a linear fall to a tenth."""
    if step < config.lr_warmup_steps:
        return (step + 1) / config.lr_warmup_steps
    done = (step - config.lr_warmup_steps) / max(1, config.steps - config.lr_warmup_steps)
    return 1.0 - 0.9 * done


def warm_up(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerFast",
    questions: Sequence[Puzzle],
    config: WarmUpConfig,
    *,
    seed: int,
    advance: Advance,
) -> None:
    """Train a model in place on correct examples, by cross-entropy of the completions' tokens."""
    generator = random.Random(f"warm-up-{seed}")
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.lr, betas=config.betas, weight_decay=config.weight_decay
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: learning_rate_factor(step, config)
    )

    def encode_text(text: str) -> np.ndarray:
        return np.array(tokenizer.encode(text, add_special_tokens=False))

    prompts = [encode_text(q.text) for q in questions]
    direct = [encode_text(q.direct_answer + END) for q in questions]
    worked = [encode_text(q.worked_answer + END) for q in questions]
    model.train()
    for step in range(config.steps):
        share = config.early_worked_share if step < config.early_steps else config.worked_share
        rows = generator.choices(range(len(questions)), k=config.batch_size)
        completions = [(worked if generator.random() < share else direct)[row] for row in rows]
        loss = cross_entropy(model, [prompts[row] for row in rows], completions)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
        advance(1)
    model.eval()


def cross_entropy(
    model: "PreTrainedModel", prompts: list[np.ndarray], completions: list[np.ndarray]
) -> torch.Tensor:
    """Return the mean of -log pi(y_t | x, y_<t) over all completion tokens."""
    rows = [np.concatenate(pair)[:-1] for pair in zip(prompts, completions, strict=True)]
    # padded on the right: causal attention never looks there, so no mask is needed
    width = max(map(len, rows))
    ids_BT = torch.from_numpy(np.array([np.pad(row, (0, width - len(row))) for row in rows]))
    predictors_C = np.concatenate(
        [
            width * index + np.arange(len(prompt) - 1, len(row))
            for index, (prompt, row) in enumerate(zip(prompts, rows, strict=True))
        ]
    )
    hidden_BTD = model.base_model(input_ids=ids_BT, use_cache=False).last_hidden_state
    hidden_CD = hidden_BTD.flatten(0, 1)[torch.from_numpy(predictors_C)]
    logits_CV = model.get_output_embeddings()(hidden_CD)
    return F.cross_entropy(logits_CV, torch.from_numpy(np.concatenate(completions)))


def make_checkpoint(
    directory: Path, policy: PolicyConfig, *, advance: Advance, world: World[Any] = cups.WORLD
) -> None:
    """Draw a world's questions, train a tokenizer and a model on them, and write a checkpoint."""
    config = policy.embedded
    source = world.draw_puzzles("warm_up", seed=policy.seed)
    questions = list(itertools.islice(source, config.warm_up.questions))
    texts = [q.text + q.direct_answer for q in questions] + [q.worked_answer for q in questions]
    tokenizer = train_tokenizer(texts, vocabulary=config.vocabulary)
    model = random_model(
        config,
        context=policy.context,
        tokens=len(tokenizer),
        end_token=tokenizer.eos_token_id,
        seed=policy.seed,
    )
    warm_up(model, tokenizer, questions, config.warm_up, seed=policy.seed, advance=advance)
    with quiet_transformers():
        model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)

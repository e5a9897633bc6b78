"""Workloads of the benchmarks: sequences, models, and the operations that a gradient needs.

Shapes: B sequences, T tokens, V vocabulary.
"""

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel, Qwen2Config, Qwen2ForCausalLM

from asymreinforce.update.packing import Sequences

PROMPT_SHARE = 1 / 3


class Workload(NamedTuple):
    """The sequences of a step and the coefficient A of each; none is zero."""

    sequences: Sequences
    coefficients_B: Tensor

    @property
    def lengths(self) -> list[tuple[int, int]]:
        """Return the numbers of prompt and completion tokens of each sequence."""
        pairs = zip(self.sequences.prompts, self.sequences.completions, strict=True)
        return [(len(prompt), len(completion)) for prompt, completion in pairs]

    def take(self, count: int) -> "Workload":
        """Return the first `count` sequences, or all if there are fewer."""
        count = min(count, len(self.coefficients_B))
        return Workload(self.sequences.take(range(count)), self.coefficients_B[:count])


def log_normal_lengths(count: int, *, shortest: int = 50, longest: int = 512) -> list[int]:
    """Return the mid-quantiles of a log-normal from `shortest` to `longest`, in random order.

    Quantiles replace draws, so that the longest sequence, on which padding depends, needs no seed.
    For 32 sequences of 50 to 512 tokens the median is 160, the mean 182, the log-spread 0.54.
    """
    normal = NormalDist()
    places = [normal.inv_cdf((index + 0.5) / count) for index in range(count)]
    centre = math.log(shortest * longest) / 2
    spread = math.log(longest / shortest) / (places[-1] - places[0])
    lengths = [round(math.exp(centre + spread * place)) for place in places]
    return [lengths[index] for index in np.random.default_rng(0).permutation(count)]


def workload(lengths: list[int], *, vocabulary: int, seed: int = 0) -> Workload:
    """Draw random tokens; a third of each sequence is its prompt, and no two prompts are equal.

    Tokens 0 (padding) and 1 (end) of the baselines are not drawn. The coefficients are those of
    rewards of plus and minus one with equal odds, at a baseline of -0.1.
    """
    generator = np.random.default_rng([seed, 1])
    prompts, completions = [], []
    for length in lengths:
        tokens = generator.integers(2, vocabulary, length)
        cut = max(1, round(PROMPT_SHARE * length))
        prompts.append(tokens[:cut])
        completions.append(tokens[cut:])
    rewards_B = generator.choice([-1.0, 1.0], len(lengths))
    return Workload(Sequences(prompts, completions), torch.tensor(rewards_B + 0.1))


class Optimizer(NamedTuple):
    """The settings of `Trainer`, with a rate so small that all steps compute the same."""

    lr: float = 1e-12
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-8
    weight_decay: float = 0.0
    grad_clip: float = 1e9
    warmup_steps: int = 0
    schedule: str = "constant"


class Shape(NamedTuple):
    """A Qwen2 architecture."""

    hidden: int
    layers: int
    intermediate: int
    query_heads: int
    key_value_heads: int
    tied: bool = True


JUDGED = Shape(hidden=256, layers=6, intermediate=1024, query_heads=4, key_value_heads=2)
SMALL = Shape(hidden=128, layers=2, intermediate=512, query_heads=2, key_value_heads=1)


def random_model(
    shape: Shape, *, vocabulary: int, context: int, seed: int = 0, device: str = "cpu"
) -> PreTrainedModel:
    """Make a Qwen2 model with random fp32 weights, drawn on its device from `seed`."""
    config = Qwen2Config(
        vocab_size=vocabulary,
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        intermediate_size=shape.intermediate,
        num_attention_heads=shape.query_heads,
        num_key_value_heads=shape.key_value_heads,
        max_position_embeddings=context,
        tie_word_embeddings=shape.tied,
        bos_token_id=None,
        eos_token_id=1,
        pad_token_id=0,
    )
    with torch.random.fork_rng(devices=[]), torch.device(device):
        torch.manual_seed(seed)
        return Qwen2ForCausalLM(config).train()


def gradient_flops(model: PreTrainedModel, lengths: list[tuple[int, int]]) -> float:
    """Return the floating-point operations that one gradient needs.

        6 N T            the body: N entries of its matrices, T tokens
        6 H V S          the head: S scored (completion) tokens
        6 h L n (n + 1)  causal attention of a sequence of n tokens: scores and values are
                         2 h n (n + 1) / 2 each a layer, and the backward pass costs twice the
                         forward pass; h = heads x head width, L layers

    The last token of a sequence is predicted and not read, so n is the length less one. Operations
    of recomputation, padding, norms and the softmax are left out: only useful work counts.
    """
    config = model.config
    embedding = model.get_input_embeddings().weight
    head = model.get_output_embeddings().weight
    body = sum(
        parameter.numel()
        for parameter in model.parameters()
        if parameter.ndim == 2 and parameter is not embedding and parameter is not head
    )
    head_width = getattr(config, "head_dim", None) or (
        config.hidden_size // config.num_attention_heads
    )
    width = config.num_attention_heads * head_width
    tokens = sum(prompt + completion - 1 for prompt, completion in lengths)
    scored = sum(completion for _, completion in lengths)
    pairs = sum((prompt + completion - 1) * (prompt + completion) for prompt, completion in lengths)
    return float(
        6 * body * tokens
        + 6 * config.hidden_size * config.vocab_size * scored
        + 6 * width * config.num_hidden_layers * pairs
    )

"""Estimate the device memory of training from the sizes of a model.

The table gives the bytes per token that autograd keeps of a decoder layer for the backward pass. D
is the width of the model, I the inner width of the feed-forward layer, Q and K the total widths of
a token's queries and of its keys, H the number of heads, and r the rank of adapters; s is the
number of times that a key occurs in a row, since completions that share a prompt repeat its keys:

    bf16, all weights     26 D +  8 I +  4 Q + 4 s K + 4 H            + 6 (Q + K) with head norms
    bf16, adapters        18 D +  8 I +  6 Q + 4 s K + 4 H + 14 r     + 4 (Q + K)
    fp32, all weights     24 D + 16 I + 12 Q + 8 s Q + 4 H            + 8 (Q + K)
    fp32, adapters        16 D + 16 I + 12 Q + 8 s Q + 4 H + 28 r     + 4 (Q + K)

Under autocast over fp32 weights, the residual stream and the norms are in fp32, and each projection
has a separate bf16 copy of its input. Attention keeps queries, keys, values, output and the
logarithms of its sums; in fp32, keys are repeated for all heads, and once more for segments with a
prefix. `tests/policy/test_training_memory` compares the table with the saved tensors of models.
"""

from typing import NamedTuple

from asymreinforce.planning.shape import Shape

FP32 = 4
BF16 = 2
COMPILED = 0.63
"""The share of a layer's activations that `torch.compile` keeps: 0.59, 0.62 and 0.62 were measured
on an H200 at 0.5B, 1.5B and 3B in bf16 (docs/internals/benchmarks.md). With adapters: not measured.
"""
FEED_FORWARD = 4
"""Tensors of width I that a gated feed-forward layer keeps: gate, its activation, up, product."""


class TrainingMemory(NamedTuple):
    """Bytes on a device, by kind, at the moment of a step when their total is highest."""

    weights: float
    gradients: float
    moments: float
    """The two moments of AdamW, in fp32."""
    gathered: float
    """Weights and gradients that are gathered from all ranks at a time, if ranks hold shards."""
    autocast: float
    """The bf16 copies of the layers' weights."""
    activations: float
    head: float
    """Logits of a chunk of tokens, and the head's weight in bf16."""

    @property
    def state(self) -> float:
        """Bytes that persist from step to step."""
        return self.weights + self.gradients + self.moments

    @property
    def total(self) -> float:
        """The sum of all parts, in bytes."""
        return sum(self)


def training_memory(
    shape: Shape,
    *,
    tokens: int,
    workspace: int,
    half: bool,
    lora_rank: int | None = None,
    recomputes: bool = False,
    is_compiled: bool = False,
    ranks: int = 1,
    is_sharded: bool = False,
    repeated: float = 0.0,
) -> TrainingMemory:
    """Return the memory of a rank that trains on packed rows of `tokens` tokens.

    `half`: bf16 over fp32 weights, or over frozen bf16 weights with adapters. `recomputes`:
    activations are checkpointed. `is_compiled`: layers are compiled. `workspace` is the most logits
    in memory at a time (`head.most_logits`); `layer_bytes` defines `repeated`.
    """
    frozen = shape.parameters if lora_rank else 0
    trained = shape.adapter_parameters(lora_rank) if lora_rank else shape.parameters
    weights = (BF16 if half else FP32) * frozen + FP32 * trained
    gathered = 0
    if is_sharded:
        # embedding and head with their gradients, in fp32, and the layer that is computed
        ends = 2 * FP32 * (shape.embeddings + shape.width)
        gathered = ends + (BF16 if half else FP32) * shape.layer
    layer = tokens * layer_bytes(shape, half=half, lora_rank=lora_rank, repeated=repeated)
    if is_compiled and half and not lora_rank:
        layer *= COMPILED
    around = tokens * (FP32 * shape.width) * (1 if lora_rank else 2)  # kept by the last norm
    # sharded layers are gathered in bf16 and frozen layers are held in bf16: no copies
    cast = trained if lora_rank else shape.layers * shape.layer
    copies = BF16 * cast if half and not is_sharded else 0
    logits = FP32 * min(tokens * shape.vocabulary, workspace)
    item = BF16 if half else FP32
    # hidden states, their gradients, and the hidden states of a chunk
    head = 3 * item * tokens * shape.width
    if half and not lora_rank:
        head += BF16 * shape.vocabulary * shape.width
    if recomputes:
        stream = BF16 if half and lora_rank else FP32
        kept = around + shape.layers * stream * shape.width * tokens
        moments_of_a_step = [
            (copies, kept, logits),  # autocast's cache is full when the last layer is done
            (0.0, kept, logits + head),
            (copies / shape.layers, kept + layer, logits),
        ]
    else:
        moments_of_a_step = [(copies, around + shape.layers * layer, logits + head)]
    autocast, activations, head = max(moments_of_a_step, key=sum)
    return TrainingMemory(
        weights=weights / ranks,
        gradients=FP32 * trained / ranks,
        moments=2 * FP32 * trained / ranks,
        gathered=gathered,
        autocast=autocast,
        activations=activations,
        head=head,
    )


def layer_bytes(
    shape: Shape, *, half: bool, lora_rank: int | None = None, repeated: float = 0.0
) -> float:
    """Return the bytes per token that a layer keeps for backward: the table of this module.

    `repeated` is the number of prompt keys that completions repeat, per token of a row.
    """
    item = BF16 if half else FP32
    width, query, key = shape.width, shape.query, shape.key
    trains_norms = lora_rank is None
    norms = 2 * FP32 * width * (1 + trains_norms)
    # five projections read the outputs of two norms; under autocast each keeps its own copy
    inputs = (5 if half else 2) * item * width
    keys = key if half else query
    stands = 1 + repeated + (repeated > 0 and not half)
    attention = item * (2 * query + 2 * stands * keys) + FP32 * shape.heads
    if not half or lora_rank:
        # in fp32, joining the outputs of a row's segments copies them; in bf16, the adapter copies
        # the output projection's input
        attention += item * query
    kept = norms + inputs + attention + FEED_FORWARD * item * shape.intermediate
    if shape.head_norms:
        kept += (FP32 + item * trains_norms) * (query + key)
    return kept + 7 * item * (lora_rank or 0)

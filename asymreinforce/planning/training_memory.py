"""What training holds in the memory of a device, counted from the sizes of a model.

What autograd keeps of a decoder layer for the backward pass, in bytes a token. D is the model's
width, I the width between the feed-forward layers, Q and K what a token's queries and keys are
wide together, H heads, r the rank of adapters; s is how often a key stands in a row, since the
completions that share a prompt repeat its keys:

    bf16, all weights     26 D +  8 I +  4 Q + 4 s K + 4 H            + 6 (Q + K) with head norms
    bf16, adapters        18 D +  8 I +  6 Q + 4 s K + 4 H + 14 r     + 4 (Q + K)
    fp32, all weights     24 D + 16 I + 12 Q + 8 s Q + 4 H            + 8 (Q + K)
    fp32, adapters        16 D + 16 I + 12 Q + 8 s Q + 4 H + 28 r     + 4 (Q + K)

Under autocast over fp32 weights the residual stream and the norms are in fp32, and each projection
has its own copy of its input in bf16. Attention keeps queries, keys, values, output and the
logarithms of its sums; in fp32 keys are repeated for all heads, and once more for the segments with
a prefix. `tests/policy/test_training_memory`
counts the saved tensors of the models themselves.
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
"""Numbers of width I that a gated feed-forward layer keeps: gate, its activation, up, product."""


class TrainingMemory(NamedTuple):
    """Bytes on a device at the moment when they are most."""

    weights: float
    gradients: float
    moments: float
    """AdamW's two, in fp32."""
    gathered: float
    """Of what is whole for a moment, if ranks hold shards."""
    autocast: float
    """Copies of the layers' weights in bf16."""
    activations: float
    head: float
    """Logits of a chunk of tokens, and the head's weight in bf16."""

    @property
    def state(self) -> float:
        """Bytes that stay from step to step."""
        return self.weights + self.gradients + self.moments

    @property
    def total(self) -> float:
        """All parts together."""
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
    """Add up what a rank holds while it trains on rows of `tokens` tokens.

    `half`: in bf16 over fp32 weights, or over frozen bf16 ones beside adapters. `recomputes`:
    activations are checkpointed. `is_compiled`: layers are. `workspace` is the most logits that
    stand at once (`head.most_logits`), `repeated` as for `layer_bytes`.
    """
    frozen = shape.parameters if lora_rank else 0
    trained = shape.adapter_parameters(lora_rank) if lora_rank else shape.parameters
    weights = (BF16 if half else FP32) * frozen + FP32 * trained
    gathered = 0
    if is_sharded:
        # embedding and head with their gradient, in fp32, and the layer at work
        ends = 2 * FP32 * (shape.embeddings + shape.width)
        gathered = ends + (BF16 if half else FP32) * shape.layer
    layer = tokens * layer_bytes(shape, half=half, lora_rank=lora_rank, repeated=repeated)
    if is_compiled and half and not lora_rank:
        layer *= COMPILED
    around = tokens * (FP32 * shape.width) * (1 if lora_rank else 2)  # the last norm's
    # sharded layers are gathered in bf16, frozen ones are held in it
    cast = trained if lora_rank else shape.layers * shape.layer
    copies = BF16 * cast if half and not is_sharded else 0
    logits = FP32 * min(tokens * shape.vocabulary, workspace)
    item = BF16 if half else FP32
    head = 3 * item * tokens * shape.width  # hidden states, their gradient, and those of a chunk
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
    """Return what a layer keeps of a token for its backward pass: the formula at the top.

    `repeated`: keys of prompts that completions repeat, for each token of a row.
    """
    item = BF16 if half else FP32
    width, query, key = (
        shape.width,
        shape.heads * shape.head_width,
        shape.kv_heads * shape.head_width,
    )
    trains_norms = lora_rank is None
    norms = 2 * FP32 * width * (1 + trains_norms)
    # five projections read the two norms' outputs; each has a copy of its own under autocast
    inputs = (5 if half else 2) * item * width
    keys = key if half else query
    stands = 1 + repeated + (repeated > 0 and not half)
    attention = item * (2 * query + 2 * stands * keys) + FP32 * shape.heads
    if not half:
        attention += item * query  # the outputs of a row's segments are joined
    elif lora_rank:
        attention += item * query  # the adapter's copy of what the output projection reads
    kept = norms + inputs + attention + FEED_FORWARD * item * shape.intermediate
    if shape.head_norms:
        kept += (FP32 + item * trains_norms) * (query + key)
    return kept + 7 * item * (lora_rank or 0)

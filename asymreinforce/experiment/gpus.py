"""What generation and training take of a GPU: memory, and tokens a second.

N parameters, L layers; in `Training` and `Generation` None is unknown.

    training step     2 N FLOP a token forward, 2 N back through the layers and 2 N for the weights
                      (Kaplan et al. 2020, Sec. 2.1): no weights under LoRA, layers twice where
                      activations are computed again
    training memory   4 N bytes of fp32 weights, 12 more of each that is trained (gradient and
                      AdamW's two moments), shared by the ranks; under bfloat16 2 N for autocast's
                      copies, or 2 N for all weights under LoRA; activations 34 L width bytes a
                      token, or 2 L + 34 times the width where they are computed again (Korthikanti
                      et al. 2022, Eq. 2 and Sec. 5, without the attention matrix). In shards, the
                      layer at work in whole, and in whole and fp32 embedding and head with their
                      gradient; offloaded, nothing but these, and the rest on the host
    generation step   reads all weights, and the keys and values of all running sequences, once
                      (Pope et al. 2022): bytes / bandwidth, and a fixed time beside it
"""

from typing import NamedTuple

from asymreinforce.config import ExperimentConfig
from asymreinforce.policy.head import CPU_LOGITS, logits_within
from asymreinforce.policy.shape import Shape
from asymreinforce.policy.trainer import TOKENS

GIB = 2**30
WEIGHT_BYTES = 4
MOMENT_BYTES = 12
"""A trained parameter's gradient and moments."""
AUTOCAST_BYTES = 2
ACTIVATION_BYTES = 34
INPUT_BYTES = 2
"""Of a layer's input, all that is kept where the rest is computed again."""
LOGIT_BYTES = 8
"""Of a logit of the chunk whose loss is taken: its value and its softmax, in fp32."""
DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


class Generation(NamedTuple):
    """Drawing completions on one engine of `gpus` GPUs."""

    gpus: int
    weights: float
    """Bytes on each GPU, as is the next."""
    cache: float
    running: float | None
    """Sequences at half their length that run at once; None where not even the weights fit."""
    tokens_per_s: float
    """Of one GPU."""


class Training(NamedTuple):
    """Training one arm, on each GPU of it."""

    trained: int
    """Parameters that are trained: all, or those of the adapters."""
    weights: float
    """Bytes of a rank's weights, gradients and optimizer, as are the next three."""
    gathered: float
    """Of what is whole for a moment, where ranks hold shards."""
    activations: float
    logits: float
    tokens_per_s: float
    is_offloaded: bool = False
    """Whether `weights` are on the host."""

    @property
    def memory(self) -> float:
        """Bytes of a GPU at most, no activation recomputed."""
        own = 0.0 if self.is_offloaded else self.weights
        return own + self.gathered + self.activations + self.logits


def generation(
    config: ExperimentConfig, shape: Shape | None, parameters: int, completion: int
) -> Generation:
    """A GPU's memory beside the weights holds keys and values; both are read at every step."""
    engine, settings = config.engine, config.plan
    size = DTYPE_BYTES[config.policy.dtype]
    weights = parameters * size / engine.tensor_parallel_size
    cache = max(0.0, settings.gpu_memory_gib * GIB * engine.gpu_memory_share - weights)
    token = (shape.cached_numbers if shape else 0) * size / engine.tensor_parallel_size
    length = settings.prompt_tokens + completion / 2
    running = min(float(engine.max_sequences), cache / (token * length) if token else cache)
    read = weights + running * token * length
    bandwidth = settings.gpu_tb_per_s * 1e12 * settings.generate_utilisation
    step = read / bandwidth + settings.generate_step_ms / 1000
    estimate = running / step / engine.tensor_parallel_size
    return Generation(
        gpus=engine.tensor_parallel_size,
        weights=weights,
        cache=cache,
        running=running if cache else None,
        tokens_per_s=settings.generate_tokens_per_s or estimate,
    )


def row_tokens(config: ExperimentConfig) -> int:
    """Return the most tokens of a packed row, which stand in memory at once."""
    return config.train.tokens_per_micro_batch or TOKENS[config.train.device]


def training(config: ExperimentConfig, shape: Shape | None, parameters: int) -> Training:
    """Add up what a rank holds, and estimate how fast it is."""
    settings, tokens = config.plan, row_tokens(config)
    train, rank = config.train, config.train.lora.rank
    half = train.precision == "bfloat16"
    # weights that stand still under adapters are held in bfloat16 themselves
    held = DTYPE_BYTES["bfloat16"] if half and rank else WEIGHT_BYTES + AUTOCAST_BYTES * half
    own = (WEIGHT_BYTES + MOMENT_BYTES) if rank else MOMENT_BYTES
    trained = shape.adapter_parameters(rank) if shape and rank else parameters
    ranks = train.processes * (train.nodes if train.sharding == "all" else 1)
    layers = shape.layers if shape else 0
    gathered = 0.0
    if shape and train.is_sharded:
        ends = 2 * WEIGHT_BYTES * (shape.embeddings + shape.width)
        gathered = ends + (AUTOCAST_BYTES if half else WEIGHT_BYTES) * shape.layer
    kept = ACTIVATION_BYTES * layers
    if train.activation_checkpointing:
        kept = INPUT_BYTES * layers + ACTIVATION_BYTES
    passes = 2 + 2 * train.activation_checkpointing + 2 + 2 * (rank is None)
    flops = settings.gpu_tflops * 1e12 * settings.train_utilisation
    is_cuda = train.device == "cuda"
    most = logits_within(settings.gpu_memory_gib * GIB) if is_cuda else CPU_LOGITS
    return Training(
        trained=trained,
        weights=(held * parameters + own * trained) / ranks,
        gathered=gathered,
        activations=kept * (shape.width if shape else 0) * tokens,
        logits=LOGIT_BYTES * min(tokens * shape.vocabulary, most) if shape else 0,
        tokens_per_s=settings.train_tokens_per_s or flops / (passes * parameters),
        is_offloaded=train.cpu_offload,
    )

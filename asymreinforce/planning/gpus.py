"""Estimate the GPU memory and the tokens per second of generation and training.

N is the number of parameters; None in `TrainingCost` and `GenerationCost` means unknown.

    training step     2 N FLOP a token forward, 2 N back through the layers and 2 N for the weights
                      (Kaplan et al. 2020, Sec. 2.1): the last 2 N is absent under LoRA, and the
                      forward 2 N counts twice if activations are recomputed
    training memory   `planning/training_memory.py`
    validation        weights, gradients and moments stay; there are also weights in the precision
                      of training, and keys and values of the sequences that are decoded at once
    generation step   reads all weights, and the keys and values of all running sequences, once
                      (Pope et al. 2022): bytes / bandwidth, plus a fixed time
"""

from typing import NamedTuple

from asymreinforce.config import ExperimentConfig
from asymreinforce.planning.shape import Shape
from asymreinforce.planning.training_memory import BF16, FP32, TrainingMemory, training_memory
from asymreinforce.update.head import CPU_LOGITS, logits_within
from asymreinforce.update.trainer import TOKENS

GIB = 2**30
DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


class GenerationCost(NamedTuple):
    """The cost of generation on one engine of `gpus` GPUs."""

    gpus: int
    weights: float
    """Bytes of weights on each GPU."""
    cache: float
    """Bytes for keys and values on each GPU."""
    running: float | None
    """Sequences of half their final length that run at once; None if the weights do not fit."""
    tokens_per_s: float
    """Tokens per second of one GPU."""


class TrainingCost(NamedTuple):
    """The cost of training one arm, on each GPU of the arm."""

    trained: int
    """The number of trained parameters: all, or those of the adapters."""
    parts: TrainingMemory
    """Bytes of a rank on its GPU."""
    on_host: float
    """Bytes of a rank's weights, gradients and moments that are offloaded to the host."""
    asleep: float
    """Bytes that a sleeping engine keeps, if rounds alternate generation and training."""
    validation: "Validation | None"
    """None if nothing is validated, or the model's sizes are unknown."""
    tokens_per_s: float

    @property
    def memory(self) -> float:
        """The most bytes that a GPU holds."""
        return self.parts.total + self.asleep


class Validation(NamedTuple):
    """The memory for validation samples during training, on the first rank's GPU."""

    weights: float
    """Bytes of a copy of the weights for decoding; 0 if the trained weights decode."""
    sequence: float
    """Bytes of the keys and values of one sequence."""
    running: int
    """Sequences that are decoded at once; 0 if no sequence fits."""


def generation(
    config: ExperimentConfig, shape: Shape | None, parameters: int, completion: int
) -> GenerationCost:
    """Estimate generation: the memory that the weights leave is for keys and values."""
    engine, settings = config.engine, config.plan
    size = DTYPE_BYTES[config.policy.dtype]
    weights = parameters * size / engine.tensor_parallel_size
    cache = max(0.0, settings.gpu_memory_gib * GIB * engine.gpu_memory_share - weights)
    token = (shape.cached_numbers if shape else 0) * size / engine.tensor_parallel_size
    # on average a running sequence is half done
    length = settings.prompt_tokens + completion / 2
    running = min(float(engine.max_sequences), cache / (token * length) if token else cache)
    read = weights + running * token * length
    bandwidth = settings.gpu_tb_per_s * 1e12 * settings.generate_utilisation
    step = read / bandwidth + settings.generate_step_ms / 1000
    estimate = running / step / engine.tensor_parallel_size
    return GenerationCost(
        gpus=engine.tensor_parallel_size,
        weights=weights,
        cache=cache,
        running=running if cache else None,
        tokens_per_s=settings.generate_tokens_per_s or estimate,
    )


def row_tokens(config: ExperimentConfig) -> int:
    """Return the most tokens of a packed row; all of them are in memory at the same time."""
    return config.train.tokens_per_micro_batch or TOKENS[config.train.device]


def training(config: ExperimentConfig, shape: Shape | None, parameters: int) -> TrainingCost:
    """Estimate the memory of a rank and its tokens per second in training."""
    settings, train = config.plan, config.train
    rank = train.lora.rank
    trained = shape.adapter_parameters(rank) if shape and rank else parameters
    parts, on_host = _rank_memory(config, shape, parameters)
    # only vLLM on a GPU stays in memory between rounds
    sleeps = config.refresh_every and config.engine.name == "vllm" and train.device == "cuda"
    asleep = settings.engine_asleep_gib * GIB if sleeps else 0.0
    # FLOP per parameter and token: forward, recomputed forward, layers backward, weights
    passes = 2 + 2 * train.activation_checkpointing + 2 + 2 * (rank is None)
    flops = settings.gpu_tflops * 1e12 * settings.train_utilisation
    return TrainingCost(
        trained=trained,
        parts=parts,
        on_host=on_host,
        asleep=asleep,
        validation=_validation_cost(config, shape, parameters, parts.state + asleep),
        tokens_per_s=settings.train_tokens_per_s or flops / (passes * parameters),
    )


def _rank_memory(
    config: ExperimentConfig, shape: Shape | None, parameters: int
) -> tuple[TrainingMemory, float]:
    """Return a rank's memory on its GPU and its host; if `shape` is None, only of its state."""
    train, tokens = config.train, row_tokens(config)
    ranks = train.processes * (train.nodes if train.sharding == "all" else 1)
    if shape is None:
        state_bytes = FP32 * parameters / ranks
        state = TrainingMemory(state_bytes, state_bytes, 2 * state_bytes, 0, 0, 0, 0)
        return (TrainingMemory(*[0.0] * 7), state.state) if train.cpu_offload else (state, 0.0)
    is_cuda = train.device == "cuda"
    parts = training_memory(
        shape,
        tokens=tokens,
        workspace=logits_within(config.plan.gpu_memory_gib * GIB) if is_cuda else CPU_LOGITS,
        half=train.precision == "bfloat16",
        lora_rank=train.lora.rank,
        recomputes=train.activation_checkpointing,
        is_compiled=train.compile and is_cuda,
        ranks=ranks,
        is_sharded=train.is_sharded,
        repeated=_repeated_keys(config, tokens),
    )
    if not train.cpu_offload:
        return parts, 0.0
    return parts._replace(weights=0.0, gradients=0.0, moments=0.0), parts.state


def _repeated_keys(config: ExperimentConfig, tokens: int) -> float:
    """Return the number of prompt keys that completions repeat, per token of a packed row."""
    prompt = config.plan.prompt_tokens
    completion = config.plan.completion_tokens or config.sampling.max_tokens
    fit = max(1, (tokens - prompt) // completion)
    samples = min(config.sampling.samples_per_prompt, fit)
    return samples * prompt / (prompt + samples * completion) if samples > 1 else 0.0


def _validation_cost(
    config: ExperimentConfig, shape: Shape | None, parameters: int, state: float
) -> Validation | None:
    """Count the sequences that fit on a GPU beside the state of training."""
    train, sampling = config.train, config.evaluation.sampling
    if not train.validation_prompts or shape is None:
        return None
    item = DTYPE_BYTES[train.precision]
    # the trained weights decode, unless they are sharded or have another precision
    is_copied = train.is_sharded or (item == BF16 and not train.lora.rank)
    weights = float(item * parameters) if is_copied else 0.0
    sequence = item * shape.cached_numbers * (config.plan.prompt_tokens + sampling.max_tokens)
    room = config.plan.gpu_memory_gib * GIB - state - weights
    most = min(train.validation_prompts, config.engine.max_sequences)
    return Validation(weights, sequence, int(max(0, min(most, room // sequence))))

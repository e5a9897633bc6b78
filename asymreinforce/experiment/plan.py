"""What a sweep would take: prompts, completions, tokens, steps, memory, disk and GPU-hours.

Arithmetic on the configuration alone: no network, no GPU, no file but a local `config.json`.
What the configuration does not say is None, and is shown as unknown. N parameters, L layers.

    training step     2 N FLOP a token forward, 2 N back through the layers and 2 N for the weights
                      (Kaplan et al. 2020, Sec. 2.1): no weights under LoRA, layers twice where
                      activations are computed again
    training memory   4 N bytes of fp32 weights, 12 more of each that is trained (gradient and
                      AdamW's two moments), shared by the ranks; under bfloat16 2 N for autocast's
                      copies, or 2 N for all weights under LoRA; activations 34 L width bytes a
                      token, or 2 L + 34 times the width where they are computed again (Korthikanti
                      et al. 2022, Eq. 2 and Sec. 5, without the attention matrix)
    generation step   reads all weights, and the keys and values of all running sequences, once
                      (Pope et al. 2022): bytes / bandwidth, and a fixed time beside it
"""

from collections.abc import Sequence
from typing import NamedTuple

from asymreinforce.config import ExperimentConfig
from asymreinforce.config.task import Split, TaskConfig
from asymreinforce.data.store import hash_of
from asymreinforce.errors import ConfigError
from asymreinforce.policy.head import WORKSPACE
from asymreinforce.policy.shape import Shape, shape_of
from asymreinforce.policy.trainer import TOKENS
from asymreinforce.stages.train.schedule import Schedule, schedule_of

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
STATE_BYTES = 8
"""A parameter's in the saved state: AdamW's two moments in fp32."""
ROW_BYTES = 12
"""A completion token's on disk: its id, its log-probability, and its text, before compression."""
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
    """Bytes of weights, gradients and optimizer, as are the next two."""
    activations: float
    logits: float
    tokens_per_s: float

    @property
    def memory(self) -> float:
        """Bytes at most, no activation recomputed."""
        return self.weights + self.activations + self.logits


class Plan(NamedTuple):
    """What a sweep takes; None is unknown."""

    config: ExperimentConfig
    arms: int
    sets: int
    """Sets of rollouts that the arms need; one serves all arms that differ in training alone."""
    prompts: dict[Split, int | None]
    completions: int | None
    """Of one set."""
    completion_tokens: int
    """Of one completion: the mean that was given, or the longest."""
    steps: int | None
    checkpoints: int | None
    """Kept of one arm."""
    evaluated: int | None
    """Completions that evaluate all arms' checkpoints, and mu once."""
    parameters: int | None
    generation: Generation | None
    training: Training | None

    @property
    def rollout_tokens(self) -> int | None:
        """Completion tokens of a set."""
        return None if self.completions is None else self.completions * self.completion_tokens

    @property
    def trained_tokens(self) -> int | None:
        """Tokens of one arm's steps, those of the prompts counted with each completion."""
        if self.steps is None:
            return None
        sequences = self.steps * self.config.optim.trajectories_per_step
        return sequences * (self.config.plan.prompt_tokens + self.completion_tokens)

    @property
    def gpu_hours(self) -> dict[str, float | None]:
        """GPU-hours by stage, all sets and arms together."""
        generate, train = self.generation, self.training
        speed = generate.tokens_per_s * 3600 if generate else None
        drawn, evaluated = _times(self.rollout_tokens, self.sets), self.evaluated
        return {
            "generate": _over(drawn, speed),
            "train": _over(
                _times(self.trained_tokens, self.arms), train.tokens_per_s * 3600 if train else None
            ),
            "evaluate": _over(_times(evaluated, self.completion_tokens), speed),
        }

    @property
    def score_hours(self) -> float | None:
        """Hours of `plan.cores` cores that judge every completion, evaluations included."""
        plan = self.config.plan
        judged = _plus(_times(self.completions, self.sets), self.evaluated)
        return _over(judged, plan.score_per_core_s * plan.cores * 3600)

    @property
    def rollout_bytes(self) -> int | None:
        """Disk for all sets of rollouts, at most."""
        row = ROW_BYTES * self.completion_tokens + 4 * self.config.plan.prompt_tokens
        return _times(_times(self.completions, row), self.sets)

    @property
    def checkpoint_bytes(self) -> int | None:
        """Disk for all arms: weights in fp32, and the state of the last and the best step."""
        if self.parameters is None or self.checkpoints is None:
            return None
        states = 2 if self.config.train.validation_prompts else 1
        trained = self.training.trained if self.training else self.parameters
        arm = self.checkpoints * WEIGHT_BYTES * self.parameters + states * STATE_BYTES * trained
        return self.arms * arm


def plan(arms: Sequence[ExperimentConfig]) -> Plan:
    """Plan the arms of a sweep, the first of which speaks for what they share."""
    config = arms[0]
    if config.is_foreign:
        raise ConfigError(
            "source.path is set: a plan is of rollouts that are to be generated; 'asymrl import' "
            "says what imported ones hold"
        )
    prompts = prompts_of(config.task)
    train = prompts["train"]
    schedule = _schedule(config, train)
    shape = shape_of(config.policy)
    parameters = config.policy.parameters or (shape.parameters if shape else None)
    completion = config.plan.completion_tokens or config.sampling.max_tokens
    checkpoints = len(schedule.kept) if schedule else None
    return Plan(
        config=config,
        arms=len(arms),
        sets=len({_shared(arm) for arm in arms}),
        prompts=prompts,
        completions=_times(train, config.sampling.samples_per_prompt),
        completion_tokens=min(completion, config.sampling.max_tokens),
        steps=schedule.steps if schedule else None,
        checkpoints=checkpoints,
        evaluated=_evaluated(config, prompts, models=_plus(_times(checkpoints, len(arms)), 1)),
        parameters=parameters,
        generation=_generation(config, shape, parameters, completion) if parameters else None,
        training=_training(config, shape, parameters) if parameters else None,
    )


def prompts_of(task: TaskConfig) -> dict[Split, int | None]:
    """Return the prompts of each split, as far as settings and known sizes tell."""
    known = dict(task.rows)
    if task.division == "12000/500" and {"train", "held_out"} <= known.keys():
        known |= {"train": known["train"] + known["held_out"] - 500, "held_out": 500}
    kept_back = sum(getattr(task, s) or 0 for s in ("validation", "held_out") if s not in known)
    rest = known["train"] - kept_back if "train" in known else None
    return {
        "train": rest if task.train is None else task.train,
        "validation": known.get("validation") if task.validation is None else task.validation,
        "held_out": known.get("held_out") if task.held_out is None else task.held_out,
    }


def _schedule(config: ExperimentConfig, prompts: int | None) -> Schedule | None:
    if prompts is None and config.steps is None:
        return None
    return schedule_of(config, prompts=prompts or 0)


def _shared(arm: ExperimentConfig) -> str:
    """Name what determines an arm's rollouts: arms of one name share them."""
    parts = {"task", "policy", "sampling", "engine"}
    return hash_of(arm.model_dump(mode="json", include=parts))


def _evaluated(
    config: ExperimentConfig, prompts: dict[Split, int | None], *, models: int | None
) -> int | None:
    there, settings = prompts[config.evaluation.split], config.evaluation
    limit = there if settings.prompts is None else min(settings.prompts, there or settings.prompts)
    each = _times(_plus(limit, settings.train_prompts), settings.sampling.samples_per_prompt)
    return _times(each, models)


def _generation(
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


def _training(config: ExperimentConfig, shape: Shape | None, parameters: int) -> Training:
    settings, tokens = config.plan, row_tokens(config)
    train, rank = config.train, config.train.lora.rank
    half = train.precision == "bfloat16"
    # weights that stand still under adapters are held in bfloat16 themselves
    held = DTYPE_BYTES["bfloat16"] if half and rank else WEIGHT_BYTES + AUTOCAST_BYTES * half
    own = (WEIGHT_BYTES + MOMENT_BYTES) if rank else MOMENT_BYTES
    trained = shape.adapter_parameters(rank) if shape and rank else parameters
    ranks = train.processes * (train.nodes if train.sharding == "all" else 1)
    layers = shape.layers if shape else 0
    kept = ACTIVATION_BYTES * layers
    if train.activation_checkpointing:
        kept = INPUT_BYTES * layers + ACTIVATION_BYTES
    passes = 2 + 2 * train.activation_checkpointing + 2 + 2 * (rank is None)
    flops = settings.gpu_tflops * 1e12 * settings.train_utilisation
    return Training(
        trained=trained,
        weights=(held * parameters + own * trained) / ranks,
        activations=kept * (shape.width if shape else 0) * tokens,
        logits=LOGIT_BYTES * min(tokens * shape.vocabulary, WORKSPACE) if shape else 0,
        tokens_per_s=settings.train_tokens_per_s or flops / (passes * parameters),
    )


def _times(left: int | None, right: int | None) -> int | None:
    return None if left is None or right is None else left * right


def _plus(left: int | None, right: int | None) -> int | None:
    return None if left is None or right is None else left + right


def _over(left: float | None, right: float | None) -> float | None:
    return left / right if left is not None and right else None

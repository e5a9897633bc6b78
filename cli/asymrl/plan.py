"""`asymrl plan`: print tables of the resources that a sweep would need."""

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

from asymreinforce import terminal
from asymreinforce.report.words import count_words

if TYPE_CHECKING:
    from asymreinforce.config import ExperimentConfig
    from asymreinforce.planning.gpus import TrainingCost
    from asymreinforce.planning.plan import Plan

Row = tuple[str, str, str]
"""A quantity, its value, and an explanation."""

GIB = 2**30
MUCH_DISK = 200e9
"""A plan warns if it needs more bytes of disk."""
UNKNOWN = "unknown"


def print_plan(arms: "list[ExperimentConfig]") -> None:
    """Print the plan of a sweep's arms."""
    from rich import box
    from rich.table import Table

    from asymreinforce.planning.plan import plan

    sweep_plan = plan(arms)
    console = terminal.make_console()
    sets = count_words(sweep_plan.sets, "set")
    sections = {
        "what runs": settings_rows(sweep_plan, arms),
        f"shared by the arms: {sets} of rollouts": shared_rows(sweep_plan),
        f"each of {count_words(sweep_plan.arms, 'arm')}": arm_rows(sweep_plan),
        "memory of a GPU": memory_rows(sweep_plan),
        "disk and time, all together": totals_rows(sweep_plan),
    }
    for title, rows in sections.items():
        table = Table(
            title=title, title_justify="left", box=box.SIMPLE_HEAD, show_header=False, expand=False
        )
        table.add_column(no_wrap=True, min_width=20)
        table.add_column(justify="right", no_wrap=True)
        table.add_column(style="dim", overflow="fold")
        for row in rows:
            table.add_row(*row)
        console.print(table)
    for line in plan_warnings(sweep_plan):
        console.print(f"warning: {line}", soft_wrap=True)
    command = "run" if sweep_plan.config.refresh_every else "sweep"
    console.print(
        f"nothing was made; 'asymrl {command}' with the same settings does it, and '--cfg job' "
        "prints every setting",
        soft_wrap=True,
    )


def settings_rows(plan: "Plan", arms: "list[ExperimentConfig]") -> Iterator[Row]:
    """Yield the most important settings, and the values that the arms sweep over."""
    config = plan.config
    revision = (config.policy.revision or "")[:12]
    dtype = f"{config.policy.dtype} in generation"
    yield "model", config.policy.source, f"{revision}, {dtype}" if revision else dtype
    missing = "" if plan.parameters else "set policy.parameters"
    yield "parameters", _number_text(plan.parameters), missing
    division = f" {config.task.division}" if config.task.division else ""
    further = [name for name in config.reward.graders if name != config.task.grader]
    graders = ", ".join([config.task.grader, *further])
    yield "task", f"{config.task.name}{division}", f"graded by {graders}"
    for name in ("baseline", "seed"):
        values = sorted({getattr(arm, name) for arm in arms})
        yield name, ", ".join(f"{value:g}" for value in values), ""
    optim = config.optim
    yield "optimizer", f"lr {optim.lr:g}", f"{optim.trajectories_per_step} trajectories a step"


def shared_rows(plan: "Plan") -> Iterator[Row]:
    """Yield the quantities of the shared prompts and rollouts."""
    sampling = plan.config.sampling
    for split, count in plan.prompts.items():
        missing = "" if count is not None else f"set task.{split}"
        yield f"{split} prompts", _number_text(count), missing
    how = f"temperature {sampling.temperature:g}, top-p {sampling.top_p:g}"
    yield "samples a prompt", str(sampling.samples_per_prompt), how
    judged = "once" if plan.graders == 1 else f"by {plan.graders} graders"
    yield "completions", _number_text(plan.completions), f"drawn once and judged {judged}"
    length = "at most" if plan.config.plan.completion_tokens is None else "in the mean"
    each = f"{length} {plan.completion_tokens} each"
    yield "completion tokens", _number_text(plan.rollout_tokens), each


def arm_rows(plan: "Plan") -> Iterator[Row]:
    """Yield the quantities of one arm."""
    config = plan.config
    if plan.rounds != 1:
        own = plan.refreshed // plan.arms if plan.refreshed is not None else None
        refreshed = f"mu becomes pi every {config.refresh_every} steps"
        yield "rounds", _number_text(plan.rounds), refreshed
        yield "completions of its own", _number_text(own), "of all rounds but the first"
        if config.replay.capacity:
            replayed = config.prompts_per_step - config.fresh_prompts_per_step
            held = f"of the {count_words(config.replay.capacity, 'round')} before"
            yield "replayed", f"{replayed} groups a step", held
    yield "steps", _number_text(plan.steps), f"{config.prompts_per_step} whole groups each"
    yield "trained tokens", _number_text(plan.trained_tokens), "prompts included"
    every = f"every {config.train.checkpoint_every} steps"
    yield "checkpoints kept", _number_text(plan.checkpoints), every
    settings = config.evaluation
    limit = "all" if settings.prompts is None else f"{settings.prompts:,}"
    more = f" and {settings.train_prompts} of train" if settings.train_prompts else ""
    samples = f"{settings.sampling.samples_per_prompt} of each by each checkpoint"
    yield "evaluated on", f"{limit} of {settings.split}{more}", samples
    for suite in plan.suites:
        number = _number_text(suite.prompts)
        models = "unknown" if suite.models is None else f"{suite.models:,}"
        words = f"{suite.samples} of each by {models} models, {suite.longest} tokens each"
        yield f"suite {suite.name}", number, words


def memory_rows(plan: "Plan") -> Iterator[Row]:
    """Yield the GPU memory of generation and training."""
    generate, train = plan.generation, plan.training
    if generate is None or train is None:
        yield "unknown", "", "give policy.parameters, or a local checkpoint as policy.source"
        return
    gpus = f"on each of {count_words(generate.gpus, 'GPU')}"
    yield "generation: weights", _gib(generate.weights), gpus
    at_once = generate.running
    running = f"{at_once:.0f} sequences run at once" if at_once else "none is left"
    yield "generation: cache", _gib(generate.cache), running
    yield from training_memory_rows(plan.config, train)


def training_memory_rows(config: "ExperimentConfig", train: "TrainingCost") -> Iterator[Row]:
    """Yield the GPU memory of training, part by part."""
    from asymreinforce.planning.gpus import row_tokens

    parts = train.parts
    what = f"{train.trained:,} adapter weights are trained" if config.train.lora.rank else "in fp32"
    if train.on_host:
        yield "training: on the host", _gib(train.on_host), f"{what}, with gradients and AdamW"
    else:
        yield "training: weights", _gib(parts.weights), what
        yield "training: optimizer", _gib(parts.gradients + parts.moments), "gradients and AdamW"
    if parts.gathered:
        yield "training: gathered", _gib(parts.gathered), "a layer; embedding and head"
    if parts.autocast:
        yield "training: autocast", _gib(parts.autocast), "copies of weights in bf16"
    tokens = row_tokens(config)
    yield "training: activations", _gib(parts.activations), f"at most, {tokens} tokens at once"
    yield "training: head", _gib(parts.head), "logits of a chunk, and its weight"
    if train.asleep:
        yield "engine beside it", _gib(train.asleep), "asleep; plan.engine_asleep_gib, a guess"
    limit = config.plan.gpu_memory_gib
    yield "training", _gib(train.memory), f"of {limit:g} GiB; CUDA itself takes about 1"
    if train.validation:
        weights, sequence, running = train.validation
        used = parts.state + train.asleep + weights + running * sequence
        beside = f"{count_words(running, 'sequence')} at once beside the state of training"
        yield "validation", _gib(used), beside


def totals_rows(plan: "Plan") -> Iterator[Row]:
    """Yield the total disk space and hours."""
    settings = plan.config.plan
    yield "rollouts on disk", _gib(plan.rollout_bytes), "before compression"
    merged = ", adapters merged in" if plan.config.train.lora.rank else ""
    # a plan is for a GPU; on a CPU `train.precision=auto` is float32
    on_cpu = "; twice that on a CPU, in float32" if plan.config.train.precision != "float32" else ""
    weights = f"{plan.config.train.precision} weights{merged}{on_cpu}"
    yield "checkpoints on disk", _gib(plan.checkpoint_bytes), weights
    yield "state on disk", _gib(plan.state_bytes), "of each arm at work"
    for stage, hours in plan.gpu_hours.items():
        yield f"{stage}", _hours_text(hours, "GPU-hours"), _speed_text(plan, stage)
    yield "arms at once", str(plan.arms_at_once), _slots_text(plan)
    yield "train, by the clock", _hours_text(plan.training_hours, "hours"), "of all arms"
    speed = f"{settings.cores} cores at {settings.score_per_core_s:g} completions a second"
    yield "score", _hours_text(plan.score_hours, "hours"), speed


def plan_warnings(plan: "Plan") -> Iterator[str]:
    """Yield a warning for each thing that should not fit a GPU or takes much disk."""
    limit = plan.config.plan.gpu_memory_gib * GIB
    train = plan.training
    if not plan.arms_at_once:
        yield f"no arm can run: {_slots_text(plan)}; lower train.processes"
    if plan.generation and plan.generation.running is None:
        yield (
            "the weights alone do not fit a GPU in generation; raise engine.tensor_parallel_size"
        )
    if train and train.parts.state > limit:
        yield (
            "weights, gradients and optimizer alone do not fit a GPU in training; share them out "
            "by train.processes, or set train.cpu_offload=true or train.lora.rank"
        )
    elif train and train.memory > limit:
        yield (
            "training may not fit a GPU; set train.activation_checkpointing=true, or lower "
            "train.tokens_per_micro_batch"
        )
    elif train and train.validation and not train.validation.running:
        yield (
            "validation may not fit a GPU beside the state of training; share that out by "
            "train.processes, or set train.validation_prompts=0"
        )
    yield from disk_warnings(plan)


def disk_warnings(plan: "Plan") -> Iterator[str]:
    """Yield a warning, with advice, for each thing that takes more than `MUCH_DISK`."""
    if (plan.rollout_bytes or 0) > MUCH_DISK:
        yield (
            f"rollouts may take {_gb(plan.rollout_bytes)} of disk; give their mean length as "
            "plan.completion_tokens if you know it, or lower sampling.max_tokens, "
            "sampling.samples_per_prompt or task.train"
        )
    if (plan.arms_bytes or 0) > MUCH_DISK:
        yield (
            f"checkpoints may take {_gb(plan.arms_bytes)} of disk; train.keep_checkpoints=1 keeps "
            "the last and the best of each arm, and a larger train.checkpoint_every writes fewer"
        )
    needed, free = (plan.arms_bytes or 0) + (plan.rollout_bytes or 0), _free_bytes(plan.config)
    if needed > free:
        yield (
            f"runs may take {_gb(needed)} of disk, and here {_gb(free)} are free; "
            "train.keep_checkpoints=1 keeps the last and the best checkpoint of each arm"
        )


def _free_bytes(config: "ExperimentConfig") -> int:
    """Return the free bytes of the disk on which the experiment would lie."""
    directory = config.directory.absolute()
    return shutil.disk_usage(next(d for d in (directory, *directory.parents) if d.exists())).free


def _slots_text(plan: "Plan") -> str:
    each = count_words(plan.config.train.processes, "GPU")
    return f"{each} each, of {plan.config.plan.gpus} (plan.gpus)"


def _speed_text(plan: "Plan", stage: str) -> str:
    part = plan.training if stage == "train" else plan.generation
    if part is None:
        return ""
    name = "train" if stage == "train" else "generate"
    given = getattr(plan.config.plan, f"{name}_tokens_per_s")
    source = f"plan.{name}_tokens_per_s" if given else f"estimated, {plan.config.plan.gpu}"
    return f"{part.tokens_per_s:,.0f} tokens/s a GPU ({source})"


def _number_text(value: int | None) -> str:
    return UNKNOWN if value is None else f"{value:,}"


def _gib(value: float | None) -> str:
    if value is None:
        return UNKNOWN
    return f"{value / GIB:,.1f} GiB" if value >= GIB / 10 else f"{value / 2**20:,.1f} MiB"


def _gb(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value / 1e9:,.0f} GB"


def _hours_text(value: float | None, unit: str) -> str:
    return UNKNOWN if value is None else f"{value:,.1f} {unit}" if value >= 0.1 else f"<0.1 {unit}"

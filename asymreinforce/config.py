"""The configuration of an experiment, parsed once at the border into frozen models.

YAML in `conf/` -> Hydra -> plain dict -> `ExperimentConfig`. Unknown keys are errors. Every command
reads the same configuration; a stage is given the parts that it uses.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from asymreinforce.credentials import require_none
from asymreinforce.errors import ConfigError
from asymreinforce.plan_config import PlanConfig
from asymreinforce.ray_config import RayConfig
from asymreinforce.rounds_config import RoundsConfig
from asymreinforce.settings import Settings
from asymreinforce.source import SourceConfig
from asymreinforce.task_config import Split, TaskConfig

Reference = Literal["group_mean", "leave_one_out", "dataset_mean", "zero"]


class WarmUpConfig(Settings):
    """The supervised warm-up that makes the embedded behaviour policy out of a random start."""

    questions: int = Field(20_000, ge=1)
    steps: int = Field(450, ge=1)
    batch_size: int = Field(128, ge=1)
    lr: float = Field(3e-3, gt=0)
    lr_warmup_steps: int = Field(50, ge=0)
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = Field(0.01, ge=0)
    worked_share: float = Field(0.2, ge=0, le=1, description="examples that show their working")
    early_worked_share: float = Field(0.5, ge=0, le=1, description="the same, at first")
    early_steps: int = Field(300, ge=0)


class EmbeddedConfig(Settings):
    """The embedded tiny Llama and its warm-up; used where `policy.source=embedded`."""

    vocabulary: int = Field(294, ge=258)
    layers: int = Field(2, ge=1)
    width: int = Field(96, ge=8)
    heads: int = Field(3, ge=1)
    intermediate: int = Field(240, ge=8)
    warm_up: WarmUpConfig = WarmUpConfig()


class PolicyConfig(Settings):
    """The behaviour policy mu, from which training starts as well."""

    source: str = Field("embedded", description="'embedded', a checkpoint directory, or a hub id")
    revision: str | None = None
    seed: int = Field(0, description="seed of the embedded policy's warm-up")
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    context: int = Field(64, ge=8, description="longest prompt and completion together, in tokens")
    trust_remote_code: bool = Field(False, description="run code that comes with a checkpoint")
    safetensors_only: bool = Field(True, description="false: load pickled weights as well")
    parameters: int | None = Field(
        None, ge=1, description="of the model, for 'asymrl plan' where it cannot find them out"
    )
    embedded: EmbeddedConfig = EmbeddedConfig()


class SamplingConfig(Settings):
    """How completions are drawn from a frozen policy."""

    samples_per_prompt: int = Field(ge=1, description="G, the size of a group")
    temperature: float = Field(1.0, ge=0)
    top_p: float = Field(1.0, gt=0, le=1)
    max_tokens: int = Field(ge=1, description="longest completion, in tokens")
    seed: int = 0


class RolloutConfig(SamplingConfig):
    """Sampling of the rollouts, and how they are cut into shards."""

    samples_per_block: int = Field(ge=1, description="samples of a prompt that one shard holds")
    prompts_per_shard: int = Field(ge=1)


class EvaluationConfig(Settings):
    """How checkpoints are evaluated; held-out prompts are reported, and choose nothing."""

    split: Split = "held_out"
    prompts: int | None = Field(None, ge=1, description="the first so many; null for all")
    sampling: SamplingConfig
    train_prompts: int = Field(0, ge=0, description="training prompts evaluated beside the split")


class EngineConfig(Settings):
    """The inference engine."""

    name: Literal["vllm", "transformers"]
    threads: int = Field(1, ge=1, description="CPU threads; part of a set's identity")
    workers: int = Field(1, ge=1, description="engines that generate side by side, on Ray")
    max_sequences: int = Field(256, ge=1, description="sequences decoded at once")
    memory_gib: float = Field(1.0, gt=0, description="key/value cache on CPU, in GiB")
    gpu_memory_share: float = Field(0.9, gt=0, le=1)
    tensor_parallel_size: int = Field(1, ge=1)
    eager: bool = True


class RewardConfig(Settings):
    """The reward scale, applied to stored verdicts at train time, and limits of the grader."""

    correct: float = 1.0
    incorrect: float = -1.0
    correct_at: float = Field(1.0, gt=0, le=1, description="lowest score that counts as correct")
    no_answer: Literal["incorrect", "exclude"] = "incorrect"
    truncated: Literal["incorrect", "exclude", "as_judged"] = "incorrect"
    unjudged: Literal["incorrect", "exclude"] = "exclude"
    time_limit_s: float = Field(5.0, gt=0, description="wall-clock seconds for one completion")
    memory_limit_mb: int = Field(1024, ge=64, description="address space a grader may add")
    workers: int | None = Field(None, ge=1, description="grader processes; null for one a core")
    max_error_rate: float = Field(
        0.02, ge=0, le=1, description="share of timeouts and errors above which scoring fails"
    )

    @model_validator(mode="after")
    def correct_pays_more_than_incorrect(self) -> Self:
        """A scale on which a wrong answer pays as much as a right one teaches the reverse."""
        if self.correct <= self.incorrect:
            raise ValueError("reward.correct must be above reward.incorrect")
        return self


class AlgorithmConfig(Settings):
    """The objective; `baseline` and `baseline_reference` stand at the top level.

    An option that is null has the objective's own default; one that does not enter it is an error.
    """

    name: str = Field("asymre", description="a name in algorithm/table.py")
    aggregation: Literal["sequence_sum", "token_mean", "sequence_mean"] = "sequence_sum"
    clip_low: float | None = Field(None, ge=0, le=1, description="ratios stay above 1 - clip_low")
    clip_high: float | None = Field(None, ge=0, description="ratios stay below 1 + clip_high")
    weight_limit: float | None = Field(None, gt=0, description="largest importance weight")
    tau: float | None = Field(None, ge=0, description="strength of mirror descent's regulariser")
    kl_coefficient: float | None = Field(None, ge=0, description="weight of KL(pi || mu)")

    @property
    def options(self) -> dict[str, float]:
        """The options that were given a value."""
        return self.model_dump(exclude={"name", "aggregation"}, exclude_none=True)


class OptimConfig(Settings):
    """The optimizer: AdamW with linear warm-up to a constant learning rate."""

    lr: float = Field(gt=0)
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = Field(1e-8, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    grad_clip: float = Field(1.0, gt=0, description="largest norm of the gradient")
    warmup_steps: int = Field(0, ge=0)
    trajectories_per_step: int = Field(ge=1)
    steps: int | None = Field(None, ge=1, description="null: as many as `epochs` hold")
    epochs: int = Field(1, ge=1)


class LoraConfig(Settings):
    """Low-rank adapters in place of all weights."""

    rank: int | None = Field(None, ge=1, description="null trains all weights")
    alpha: int | None = Field(None, ge=1, description="W + alpha/rank BA; null for 2 rank")
    target_modules: str | tuple[str, ...] = Field(
        "all-linear", description="names of layers, such as [q_proj,v_proj]"
    )


RANKS = frozenset({"processes", "nodes", "rendezvous", "sharding", "cpu_offload"})
"""Settings of `train` that say where an arm is trained: its curve is the same everywhere."""


class TrainConfig(Settings):
    """What training does beside the update: device, checkpoints, diagnostics."""

    device: Literal["cpu", "cuda"] = "cpu"
    precision: Literal["float32", "bfloat16"] = "float32"
    threads: int = Field(1, ge=1, description="CPU threads of one arm")
    attention: Literal["auto", "varlen", "flex", "sdpa"] = "auto"
    tokens_per_micro_batch: int | None = Field(
        None, ge=1, description="most tokens of a packed row; null for 1,024 on CPU, 16,384 on CUDA"
    )
    lora: LoraConfig = LoraConfig()
    activation_checkpointing: bool = Field(
        False, description="compute layers twice, and keep one activation of each"
    )
    compile: bool = Field(False, description="torch.compile each layer")
    checkpoint_every: int = Field(30, ge=1, description="steps")
    keep_checkpoints: int | None = Field(
        None, ge=1, description="latest weights kept; null for all, as evaluation by step needs"
    )
    diagnostics_every: int = Field(10, ge=1, description="steps")
    slice_prompts: int = Field(64, ge=1, description="prompts of the fixed diagnostic slice")
    validation_prompts: int = Field(0, ge=0, description="prompts that choose the best checkpoint")
    audit_rollouts: int = Field(256, ge=0, description="rollouts of the mismatch audit; 0 for none")
    on_collapse: Literal["stop", "continue"] = Field(
        "continue", description="by the rule of algorithm/collapse.py; 'stop' ends the arm there"
    )
    processes: int = Field(
        1, ge=1, description="ranks of a node, a device each, started by torchrun"
    )
    nodes: int = Field(1, ge=1, description="machines that train one arm together")
    rendezvous: str | None = Field(None, pattern=r"^\S+:\d+$", description="first node's HOST:PORT")
    sharding: Literal["all", "node"] = Field("all", description="over all ranks, or each node's")
    cpu_offload: bool = Field(False, description="weights and moments wait on the host")

    @property
    def is_sharded(self) -> bool:
        """Whether weights, gradient and moments lie in shards over ranks, be it one."""
        return self.processes * self.nodes > 1 or self.cpu_offload

    @model_validator(mode="after")
    def nodes_meet_somewhere(self) -> Self:
        """Several nodes find each other at one address."""
        if self.nodes > 1 and not self.rendezvous:
            raise ValueError("train.nodes>1 needs train.rendezvous=HOST:PORT of the first node")
        return self


class TrackerConfig(Settings):
    """Metrics always go to local files; wandb mirrors them where it is asked to."""

    name: Literal["none", "wandb"] = "none"
    mode: Literal["online", "offline"] = "offline"
    project: str = "asymreinforce"


class SweepConfig(Settings):
    """What a sweep does beside its arms."""

    workers: int | None = Field(
        None, ge=1, description="processes that evaluate; null for one a core where there is no GPU"
    )
    together: int = Field(
        1, ge=1, description="arms of one seed that a process trains side by side, reading once"
    )
    report: bool = True


class Pins(Settings):
    """Directories to use in place of the ones that the settings name; null for those."""

    prompts: Path | None = None
    rollouts: Path | None = None
    verdicts: Path | None = None


class ExperimentConfig(RoundsConfig):
    """Everything about an experiment; one model for every command."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    runs_dir: Path = Path("runs")
    baseline: float = Field(description="delta-V: V(x) = reference(x) + baseline")
    baseline_reference: Reference = "group_mean"
    seed: int = Field(0, ge=0, description="seed of training: data order, and whatever it draws")
    task: TaskConfig
    source: SourceConfig = SourceConfig()
    policy: PolicyConfig
    engine: EngineConfig
    sampling: RolloutConfig
    evaluation: EvaluationConfig
    reward: RewardConfig = RewardConfig()
    algorithm: AlgorithmConfig = AlgorithmConfig()
    optim: OptimConfig
    train: TrainConfig = TrainConfig()
    tracker: TrackerConfig = TrackerConfig()
    sweep: SweepConfig = SweepConfig()
    pins: Pins = Pins()
    plan: PlanConfig = PlanConfig()
    ray: RayConfig = RayConfig()

    @property
    def directory(self) -> Path:
        """The experiment's directory, `<runs_dir>/<name>`."""
        return self.runs_dir / self.name

    @property
    def is_foreign(self) -> bool:
        """Whether rollouts come from elsewhere; their groups are of the sizes that they come in."""
        return self.source.path is not None

    @property
    def prompts_per_step(self) -> int:
        """Whole groups in an optimizer step."""
        return self.optim.trajectories_per_step // self.sampling.samples_per_prompt

    @property
    def steps(self) -> int | None:
        """Optimizer steps of an arm; None for as many as `optim.epochs` hold."""
        return self.steps_of_rounds or self.optim.steps

    @model_validator(mode="after")
    def rounds_are_the_steps(self) -> Self:
        """Their number and length say how many steps there are, and rollouts can be made anew."""
        if self.rounds and self.optim.steps:
            raise ValueError(
                f"rounds={self.rounds} of refresh_every={self.refresh_every} steps are the steps "
                f"of an arm; set optim.steps=null, or leave rounds to optim.steps"
            )
        if self.refresh_every and self.is_foreign:
            raise ValueError(
                "refresh_every generates rollouts anew, and source.path brings them from "
                "elsewhere; leave one of them null"
            )
        return self

    @model_validator(mode="after")
    def steps_hold_whole_groups(self) -> Self:
        """A group is never cut: its mean is its reference."""
        if not self.is_foreign and (
            self.optim.trajectories_per_step % self.sampling.samples_per_prompt
        ):
            raise ValueError(
                f"optim.trajectories_per_step ({self.optim.trajectories_per_step}) must be a "
                f"multiple of sampling.samples_per_prompt ({self.sampling.samples_per_prompt})"
            )
        return self

    @model_validator(mode="after")
    def leave_one_out_needs_two_samples(self) -> Self:
        """Without the sample itself, a group of one has no mean."""
        alone = self.sampling.samples_per_prompt < 2 and not self.is_foreign
        if self.baseline_reference == "leave_one_out" and alone:
            raise ValueError("baseline_reference=leave_one_out needs sampling.samples_per_prompt>1")
        return self

    @model_validator(mode="after")
    def checkpoints_are_chosen_on_questions_kept_back(self) -> Self:
        """There must be validation questions where training is to choose by them."""
        if self.train.validation_prompts and self.task.validation == 0:
            raise ValueError(
                f"train.validation_prompts={self.train.validation_prompts}, but task.validation=0: "
                "set task.validation to keep training questions back, or "
                "train.validation_prompts=0 to choose no checkpoint"
            )
        return self

    @model_validator(mode="after")
    def completions_fit_the_context(self) -> Self:
        """A completion as long as the context would leave no room for its prompt."""
        longest = max(self.sampling.max_tokens, self.evaluation.sampling.max_tokens)
        if longest >= self.policy.context:
            raise ValueError(
                f"max_tokens ({longest}) must be below policy.context ({self.policy.context})"
            )
        return self


def parse(values: Mapping[str, Any]) -> ExperimentConfig:
    """Parse a resolved configuration; a `ConfigError` names each setting that is wrong.

    A setting that holds a password or a token is refused: settings are written down.
    """
    require_none(values, os.environ)
    try:
        return ExperimentConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError(describe(error)) from None


def describe(error: ValidationError) -> str:
    """Say in a line a setting what pydantic found wrong with it."""
    lines = []
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"])
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            message = "no such setting; 'asymrl train --cfg job' prints all of them"
        given = "" if isinstance(item["input"], dict) else f" (given: {item['input']!r})"
        lines.append(f"{key}: {message}{given}" if key else message)
    return "the configuration is not valid:\n  " + "\n  ".join(lines)

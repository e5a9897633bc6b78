"""The configuration of an experiment, parsed once at the border into frozen models.

YAML in `conf/` -> Hydra -> plain dict -> `ExperimentConfig`. Unknown keys are errors. Every command
reads the same configuration; a stage is given the parts that it uses.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from asymreinforce.config.left_open import MOST_SAMPLES, filled
from asymreinforce.config.paths import HomePath
from asymreinforce.config.plan import PlanConfig
from asymreinforce.config.policy import EmbeddedConfig, PolicyConfig, WarmUpConfig
from asymreinforce.config.ray import RayConfig
from asymreinforce.config.rounds import RoundsConfig
from asymreinforce.config.settings import Settings
from asymreinforce.config.source import SourceConfig
from asymreinforce.config.task import Split, TaskConfig
from asymreinforce.config.training import (
    RANKS,
    SAME_GRADIENT,
    AlgorithmConfig,
    LoraConfig,
    OptimConfig,
    TrainConfig,
)
from asymreinforce.credentials import require_none
from asymreinforce.errors import ConfigError

__all__ = [
    "AlgorithmConfig",
    "EmbeddedConfig",
    "EngineConfig",
    "ExperimentConfig",
    "LoraConfig",
    "OptimConfig",
    "Pins",
    "PolicyConfig",
    "RANKS",
    "Reference",
    "RewardConfig",
    "SAME_GRADIENT",
    "RolloutConfig",
    "SamplingConfig",
    "Split",
    "TaskConfig",
    "TrainConfig",
    "WarmUpConfig",
    "describe_errors",
    "parse_config",
]

Reference = Literal["group_mean", "leave_one_out", "dataset_mean", "zero"]
LOWEST_TEMPERATURE = 0.01
EMBEDDED_TASK, IMPORTED = "cups", "imported"
"""The task whose questions are made for the embedded policy, and the one that has none."""


class SamplingConfig(Settings):
    """How completions are drawn from a frozen policy."""

    samples_per_prompt: int = Field(ge=1, le=MOST_SAMPLES, description="G, the size of a group")
    temperature: float = Field(1.0, ge=0, le=100, description="0 takes the likeliest token")
    top_p: float = Field(
        1.0,
        gt=0,
        le=1,
        description="tokens are drawn from the likeliest of this probability together",
    )
    max_tokens: int = Field(
        ge=1, description="longest completion, in tokens; null: as the task says"
    )
    seed: int = Field(0, description="seed of the draws")

    @field_validator("temperature")
    @classmethod
    def a_temperature_is_not_almost_0(cls, value: float) -> float:
        """vLLM takes 0.01 in place of anything between, and logits divided by less overflow."""
        if 0 < value < LOWEST_TEMPERATURE:
            raise ValueError(f"must be 0 (greedy), or at least {LOWEST_TEMPERATURE:g}")
        return value


class RolloutConfig(SamplingConfig):
    """Sampling of the rollouts, and how they are cut into shards."""

    samples_per_block: int = Field(
        ge=1,
        le=MOST_SAMPLES,
        description="samples of a prompt that one shard holds, lowered to their largest common "
        "divisor with samples_per_prompt",
    )
    prompts_per_shard: int = Field(
        ge=1, le=10_000_000, description="prompts whose samples are written as one file"
    )


class EvaluationConfig(Settings):
    """How checkpoints are evaluated; held-out prompts are reported, and choose nothing."""

    split: Split = Field("held_out", description="questions that checkpoints are evaluated on")
    prompts: int | None = Field(
        None, ge=0, description="the first so many; null for all, 0 to evaluate nothing"
    )
    sampling: SamplingConfig
    train_prompts: int = Field(0, ge=0, description="training prompts evaluated beside the split")

    @model_validator(mode="after")
    def training_prompts_are_evaluated_once(self) -> Self:
        """Both settings would ask for the same prompts, each for a number of its own."""
        if self.split == "train" and self.train_prompts:
            raise ValueError(
                "evaluation.split=train evaluates the training prompts already: set "
                "evaluation.train_prompts=0, and evaluation.prompts for the first so many"
            )
        return self


class EngineConfig(Settings):
    """The inference engine."""

    name: Literal["vllm", "transformers"] = Field(description="library that generates")
    threads: int = Field(1, ge=1, le=1024, description="CPU threads; part of a set's identity")
    workers: int = Field(1, ge=1, description="engines that generate side by side, on Ray")
    max_sequences: int = Field(256, ge=1, description="sequences decoded at once")
    memory_gib: float = Field(1.0, gt=0, description="key/value cache on CPU, in GiB")
    gpu_memory_share: float = Field(
        0.9, gt=0, le=1, description="share of a GPU's memory that vLLM takes"
    )
    tensor_parallel_size: int = Field(1, ge=1, description="GPUs that one engine is spread over")
    eager: bool = Field(True, description="false: vLLM compiles, and captures CUDA graphs")


class RewardConfig(Settings):
    """The reward scale, applied to stored verdicts at train time, and limits of the grader."""

    correct: float = Field(1.0, ge=-1e9, le=1e9, description="reward of a correct completion")
    incorrect: float = Field(-1.0, ge=-1e9, le=1e9, description="reward of an incorrect completion")
    correct_at: float = Field(1.0, gt=0, le=1, description="lowest score that counts as correct")
    no_answer: Literal["incorrect", "exclude"] = Field(
        "incorrect", description="how completions count that give no answer"
    )
    truncated: Literal["incorrect", "exclude", "as_judged"] = Field(
        "incorrect", description="how completions count that were cut off at max_tokens"
    )
    unjudged: Literal["incorrect", "exclude"] = Field(
        "exclude", description="timeouts and errors: the grader failed, not the answer"
    )
    reasoning: Literal["marked", "always", "ignored"] = Field(
        "marked",
        description="marked: the answer stands behind the last block of reasoning, and a block "
        "that never ends has none; always: the prompt begins a block; ignored: read the whole text",
    )
    cpu_limit_s: float = Field(
        5.0,
        gt=0,
        le=1e6,
        description="CPU seconds for one completion; 12 times as many of the wall clock",
    )
    memory_limit_mb: int = Field(
        1024, ge=64, le=10_000_000, description="address space a grader may add"
    )
    workers: int | None = Field(
        None, ge=1, le=4096, description="grader processes; null for one a core"
    )
    max_error_rate: float = Field(
        0.02, ge=0, le=1, description="share of timeouts and errors above which scoring fails"
    )

    @property
    def limits(self) -> list[float | str]:
        """What decides verdicts beside the grader, for identities."""
        reasoning = [self.reasoning] if self.reasoning != "marked" else []
        return [self.cpu_limit_s, self.memory_limit_mb, *reasoning]

    @model_validator(mode="after")
    def correct_pays_more_than_incorrect(self) -> Self:
        """A scale on which a wrong answer pays as much as a right one teaches the reverse."""
        if self.correct <= self.incorrect:
            raise ValueError("reward.correct must be above reward.incorrect")
        return self


class TrackerConfig(Settings):
    """Metrics always go to local files; a tracker mirrors them if it is asked to."""

    name: Literal["none", "wandb", "trackio", "tensorboard"] = Field(
        "none", description="service that mirrors the metrics"
    )
    mode: Literal["online", "offline"] | None = Field(
        None, description="of wandb; null for WANDB_MODE, else online"
    )
    project: str | None = Field(
        None, description="null for WANDB_PROJECT with wandb, else 'asymreinforce'"
    )
    entity: str | None = Field(None, description="of wandb; null for WANDB_ENTITY, else your own")
    tags: tuple[str, ...] = Field((), description="of wandb; none for WANDB_TAGS")


class SweepConfig(Settings):
    """What a sweep does beside its arms."""

    workers: int | None = Field(
        None,
        ge=1,
        description="processes that train or evaluate at once on this machine; null for as many as "
        "its CUDA devices allow, or its cores where none is used",
    )
    together: int = Field(
        1, ge=1, description="arms of one seed that a process trains side by side, reading once"
    )
    report: bool = Field(True, description="write report.html and its figures at the end")


class Pins(Settings):
    """Directories to use in place of the ones that the settings name; null for those."""

    prompts: HomePath | None = Field(None, description="a directory of prompts")
    rollouts: HomePath | None = Field(None, description="a directory of rollouts")
    verdicts: HomePath | None = Field(None, description="a directory of verdicts")


class ExperimentConfig(RoundsConfig):
    """Everything about an experiment; one model for every command."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="of the experiment and its directory"
    )
    runs_dir: HomePath = Field(Path("runs"), description="where experiments' directories lie")
    baseline: float = Field(description="delta-V: V(x) = reference(x) + baseline")
    baseline_reference: Reference = Field(
        "group_mean",
        description="of V(x): the mean reward of the group, of the group's other samples, "
        "of all rollouts, or 0",
    )
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

    def questions_of(self, split: Split) -> Literal["rollouts", "task"] | None:
        """Return where a split's questions come from; None if there are none."""
        if split == "train":
            return "rollouts" if self.is_foreign else "task"
        if self.is_foreign and getattr(self.source, split):
            return "rollouts"
        return None if getattr(self.task, split) == 0 else "task"

    @property
    def evaluated_splits(self) -> tuple[Split, ...]:
        """The splits on which checkpoints are evaluated, the reported one first; maybe none."""
        split = self.evaluation.split
        if self.evaluation.prompts == 0 or self.questions_of(split) is None:
            return ()
        return (split, "train") if self.evaluation.train_prompts else (split,)

    @property
    def graded_questions(self) -> dict[Split, int | None]:
        """The splits that validation and evaluation grade, and how many of their questions.

        None is all of them.
        """
        counts: dict[Split, int | None] = {}
        if self.train.validation_prompts:
            counts["validation"] = self.train.validation_prompts
        for split in self.evaluated_splits:
            is_own = split == self.evaluation.split
            count = self.evaluation.prompts if is_own else self.evaluation.train_prompts
            counts[split] = count and max(count, counts.get(split) or 0)
        return counts

    @model_validator(mode="before")
    @classmethod
    def settings_left_open_are_decided_by_others(cls, values: Any) -> Any:
        """`config/left_open.py` says which, and by what."""
        return filled(values) if isinstance(values, Mapping) else values

    @model_validator(mode="after")
    def there_are_questions(self) -> Self:
        """`task=imported` has none of its own."""
        if self.task.loader == IMPORTED and not self.is_foreign:
            raise ValueError(
                "no questions are given: name a task (task=file task.path=FILE "
                "task.held_out=N, or task=gsm8k, math, ...), or rollouts that exist already "
                "(source.path=FILE)"
            )
        return self

    @model_validator(mode="after")
    def imported_rollouts_are_judged_on_their_own_questions(self) -> Self:
        """The embedded questions say nothing of rollouts from elsewhere."""
        if not (self.is_foreign and self.task.loader == EMBEDDED_TASK):
            return self
        embedded = [s for s in self.graded_questions if self.questions_of(s) == "task"]
        if embedded:
            raise ValueError(
                f"the rollouts are imported, and the {' and '.join(embedded)} questions would be "
                "the embedded task's. Hold imported questions back (source.held_out=N "
                "source.validation=N), or name questions of your own (task=file "
                "task.path=FILE task.held_out=N), or evaluate nothing "
                "(evaluation.prompts=0 train.validation_prompts=0)"
            )
        return self

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
        if self.train.validation_prompts and self.questions_of("validation") is None:
            kept = "source.validation" if self.is_foreign else "task.validation"
            raise ValueError(
                f"train.validation_prompts={self.train.validation_prompts}, but {kept}=0: "
                f"set {kept} to keep training questions back, or "
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


def parse_config(values: Mapping[str, Any]) -> ExperimentConfig:
    """Parse a resolved configuration; a `ConfigError` names each setting that is wrong.

    A setting that holds a password or a token is refused: settings are written down.
    """
    require_none(values, os.environ)
    _require_storable(values)
    try:
        return ExperimentConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError(describe_errors(error)) from None


def _require_storable(values: Mapping[str, Any], prefix: str = "") -> None:
    """Settings become file names and JSON: a NUL or a byte that is no UTF-8 fits neither."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            _require_storable(value, f"{prefix}{name}.")
        for text in value if isinstance(value, list | tuple) else [value]:
            if isinstance(text, str) and any(s == "\0" or "\ud800" <= s <= "\udfff" for s in text):
                raise ConfigError(f"{prefix}{name}: holds a NUL, or bytes that are no UTF-8")


def describe_errors(error: ValidationError) -> str:
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

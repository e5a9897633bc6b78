"""All settings of an experiment in one model, and the rules between its parts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from asymreinforce.config.baseline import BaselineScheduleConfig
from asymreinforce.config.engine import EngineConfig
from asymreinforce.config.left_open import filled
from asymreinforce.config.paths import HomePath
from asymreinforce.config.plan import PlanConfig
from asymreinforce.config.policy import PolicyConfig
from asymreinforce.config.ray import RayConfig
from asymreinforce.config.replay import ReplayConfig
from asymreinforce.config.reward import RewardConfig
from asymreinforce.config.rounds import RoundsConfig
from asymreinforce.config.sampling import EvaluationConfig, RolloutConfig
from asymreinforce.config.search import SearchConfig
from asymreinforce.config.source import SourceConfig
from asymreinforce.config.sweep import Pins, SweepConfig, TrackerConfig
from asymreinforce.config.task import Split, TaskConfig
from asymreinforce.config.training import AlgorithmConfig, OptimConfig, TrainConfig
from asymreinforce.plugins import is_plugin

Reference = Literal[
    "group_mean",
    "leave_one_out",
    "dataset_mean",
    "zero",
    "group_quantile",
    "shrunk_group_mean",
    "length_weighted_mean",
    "minimum_variance",
    "limit_support",
    "running_mean",
]
REFERENCES: tuple[str, ...] = get_args(Reference)
EMBEDDED_TASKS, IMPORTED = ("cups", "dial", "count"), "imported"
"""The tasks with questions for the embedded policy, and the task without questions; `imported` is
also the grader's name of verdicts that came with rollouts."""


class ExperimentConfig(RoundsConfig, BaselineScheduleConfig):
    """All settings of an experiment; every command uses this model."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="name of the experiment and its directory",
    )
    runs_dir: HomePath = Field(Path("runs"), description="directory of all experiments")
    baseline: float = Field(description="delta-V: V(x) = reference(x) + baseline")
    baseline_reference: Reference | str = Field(
        "group_mean",
        description="reference(x): the mean reward of the group, of the group's other samples, of "
        "all rollouts, or 0, ... (docs/reference/objectives.md); or your own, module:function",
    )
    # QAE's default (Wu et al. 2025); its authors advise 0.6 if entropy falls early
    baseline_quantile: float = Field(
        0.4,
        gt=0,
        le=1,
        description="quantile of the group's rewards, for baseline_reference=group_quantile",
    )
    # not from a source: if most of a group's samples are correct, V is then the group's mean
    baseline_support: float = Field(
        0.5,
        gt=0,
        le=1,
        description="share of a group's samples to keep, for baseline_reference=limit_support",
    )
    baseline_decay: float = Field(
        0.9,
        ge=0,
        lt=1,
        description="weight of the mean so far, for baseline_reference=running_mean",
    )
    replicate: int = Field(
        0,
        ge=0,
        description="seed of all draws: default of seed, policy.seed and sampling.seed",
    )
    seed: int = Field(0, ge=0, description="seed of training, such as the order of the data")
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
    replay: ReplayConfig = ReplayConfig()
    tracker: TrackerConfig = TrackerConfig()
    sweep: SweepConfig = SweepConfig()
    search: SearchConfig = SearchConfig()
    pins: Pins = Pins()
    plan: PlanConfig = PlanConfig()
    ray: RayConfig = RayConfig()

    @property
    def directory(self) -> Path:
        """The experiment's directory, `<runs_dir>/<name>`."""
        return self.runs_dir / self.name

    @property
    def is_foreign(self) -> bool:
        """Whether rollouts are imported and none is generated."""
        return self.source.path is not None

    @property
    def section_of_questions(self) -> Literal["source", "task"]:
        """The section of settings from which training and held-back questions come."""
        return "source" if self.is_foreign else "task"

    @property
    def group_size(self) -> int | None:
        """Rollouts of each prompt, None if imported groups keep their sizes."""
        return None if self.is_foreign else self.sampling.samples_per_prompt

    @property
    def prompts_per_step(self) -> int:
        """Groups of an optimizer step."""
        return self.optim.trajectories_per_step // self.sampling.samples_per_prompt

    @property
    def fresh_prompts_per_step(self) -> int:
        """Groups of a step that a later round draws itself; the other groups are replayed."""
        return self.replay.fresh_prompts(self.prompts_per_step)

    @property
    def steps(self) -> int | None:
        """Optimizer steps of an arm, None if `optim.epochs` decides."""
        return self.steps_of_rounds or self.optim.steps

    def of_suite(self, name: str) -> "ExperimentConfig":
        """Return the settings with which only the suite `name` is evaluated."""
        suite = self.evaluation.suites[name]
        evaluation = EvaluationConfig(
            split=suite.split, prompts=suite.prompts, sampling=suite.sampling
        )
        # a prompt only has to leave room for the suite's completions
        lengths = {"max_tokens": suite.sampling.max_tokens}
        return self.model_copy(
            update={
                "task": suite.task,
                "source": SourceConfig(),
                "pins": Pins(),
                "evaluation": evaluation,
                "sampling": self.sampling.model_copy(update=lengths),
                "train": self.train.model_copy(update={"validation_prompts": 0}),
            }
        )

    def questions_of(self, split: Split) -> Literal["source", "task"] | None:
        """Return the section from which a split's questions come, None if it has none."""
        section = self.section_of_questions
        if split == "train" or getattr(getattr(self, section), split):
            return section
        return None if getattr(self.task, split) == 0 else "task"

    @property
    def evaluated_splits(self) -> tuple[Split, ...]:
        """The splits on which checkpoints are evaluated, the reported split first; may be empty."""
        split = self.evaluation.split
        if self.evaluation.prompts == 0 or self.questions_of(split) is None:
            return ()
        return (split, "train") if self.evaluation.train_prompts else (split,)

    @property
    def graded_questions(self) -> dict[Split, int | None]:
        """The number of questions that validation and evaluation grade, by split; None is all."""
        counts: dict[Split, int | None] = {}
        if self.train.validation_prompts:
            counts["validation"] = self.train.validation_prompts
        for split in self.evaluated_splits:
            is_own = split == self.evaluation.split
            count = self.evaluation.prompts if is_own else self.evaluation.train_prompts
            counts[split] = count and max(count, counts.get(split) or 0)
        return counts

    @field_validator("baseline_reference")
    @classmethod
    def reference_is_known_or_a_function(cls, name: str) -> str:
        """A reference is a name of `Reference` or a user's module:function."""
        if name in REFERENCES or is_plugin(name):
            return name
        raise ValueError(
            f"{name} is none of {', '.join(REFERENCES)} and not of the form module:function"
        )

    @model_validator(mode="before")
    @classmethod
    def settings_left_open_are_decided_by_others(cls, values: Any) -> Any:
        """Null settings get the values that `config/left_open.py` derives from other settings."""
        return filled(values) if isinstance(values, Mapping) else values

    @model_validator(mode="after")
    def there_are_questions(self) -> Self:
        """`task=imported` has no questions, so rollouts must be imported."""
        if self.task.loader == IMPORTED and self.questions_of("train") == "task":
            raise ValueError(
                "no questions are given: name a task (task=file task.path=FILE "
                "task.held_out=N, or task=gsm8k, math, ...), or rollouts that exist already "
                "(source.path=FILE)"
            )
        return self

    @model_validator(mode="after")
    def imported_rollouts_are_judged_on_their_own_questions(self) -> Self:
        """Imported rollouts are not evaluated on the embedded task's questions."""
        if self.task.loader not in EMBEDDED_TASKS or self.questions_of("train") == "task":
            return self
        embedded = [s for s in self.graded_questions if self.questions_of(s) == "task"]
        if embedded:
            raise ValueError(
                f"the rollouts are imported, but the {' and '.join(embedded)} questions would be "
                "the embedded task's. Hold imported questions back (source.held_out=N "
                "source.validation=N), or name questions of your own (task=file "
                "task.path=FILE task.held_out=N), or evaluate nothing "
                "(evaluation.prompts=0 train.validation_prompts=0)"
            )
        return self

    @model_validator(mode="after")
    def imported_verdicts_come_with_imported_rollouts(self) -> Self:
        """Only imported rollouts can have verdicts of the grader `imported`."""
        if IMPORTED in self.reward.graders and self.section_of_questions == "task":
            raise ValueError(
                f"reward.graders names {IMPORTED}, the verdicts that come with rollouts from "
                "elsewhere, and these are generated; name graders alone, or bring rollouts "
                "(source.path=FILE)"
            )
        return self

    @model_validator(mode="after")
    def rounds_are_the_steps(self) -> Self:
        """Rounds decide the number of steps, and need rollouts that can be generated again."""
        if self.rounds and self.optim.steps:
            raise ValueError(
                f"rounds={self.rounds} of refresh_every={self.refresh_every} steps are the steps "
                f"of an arm; set optim.steps=null, or leave rounds to optim.steps"
            )
        if self.refresh_every and self.source.path:
            raise ValueError(
                "refresh_every generates new rollouts, and source.path imports them; leave one of "
                "them null"
            )
        return self

    @model_validator(mode="after")
    def steps_hold_whole_groups(self) -> Self:
        """A step holds whole groups, because a group's mean is its reference."""
        if self.group_size and self.optim.trajectories_per_step % self.group_size:
            raise ValueError(
                f"optim.trajectories_per_step ({self.optim.trajectories_per_step}) must be a "
                f"multiple of sampling.samples_per_prompt ({self.group_size})"
            )
        return self

    @model_validator(mode="after")
    def what_rounds_hold_needs_rounds(self) -> Self:
        """Replay and `running_mean` use earlier rounds, so there must be rounds."""
        if self.baseline_reference == "running_mean" and not self.refresh_every:
            raise ValueError(
                "baseline_reference=running_mean is a mean over rounds, and there is one round: "
                "set refresh_every ('asymrl run'), or take baseline_reference=dataset_mean"
            )
        if self.replay.capacity and not self.refresh_every:
            raise ValueError(
                f"replay.capacity={self.replay.capacity} holds rollouts of earlier rounds, and "
                "there is one round: set refresh_every ('asymrl run'), or replay.capacity=0"
            )
        return self

    @model_validator(mode="after")
    def a_step_replays_no_more_than_is_held(self) -> Self:
        """A step replays at most as many groups as the buffer holds."""
        # the buffer holds the groups that `capacity` earlier rounds drew themselves
        if not (self.replay.capacity and self.refresh_every and self.group_size):
            return self
        fresh = self.fresh_prompts_per_step
        held = self.replay.capacity * self.refresh_every * fresh
        replayed = self.prompts_per_step - fresh
        if held < replayed:
            raise ValueError(
                f"a step would replay {replayed} groups, and replay.capacity="
                f"{self.replay.capacity} rounds of refresh_every={self.refresh_every} steps hold "
                f"{held}: raise replay.capacity or replay.fresh_share"
            )
        return self

    @model_validator(mode="after")
    def leave_one_out_needs_two_samples(self) -> Self:
        """A group of one sample has no mean without that sample."""
        if self.baseline_reference == "leave_one_out" and self.group_size == 1:
            raise ValueError("baseline_reference=leave_one_out needs sampling.samples_per_prompt>1")
        return self

    @model_validator(mode="after")
    def staleness_can_be_measured(self) -> Self:
        """Staleness can be measured only on rollouts that mu drew, untruncated."""
        if self.baseline_schedule != "staleness":
            return self
        is_imported = self.section_of_questions == "source"
        if is_imported or (self.sampling.temperature, self.sampling.top_p) != (1, 1):
            why = (
                "source.path brings rollouts from elsewhere"
                if is_imported
                else f"sampling.temperature={self.sampling.temperature:g} and "
                f"sampling.top_p={self.sampling.top_p:g} draw from another policy"
            )
            raise ValueError(
                f"baseline_schedule=staleness needs {self.baseline_measure}, which is measured on "
                f"rollouts that mu drew at temperature 1 and top-p 1 alone, and {why}; "
                "baseline_schedule=linear needs no measurement"
            )
        if not self.baseline_lowest <= self.baseline <= 0:
            raise ValueError(
                f"baseline={self.baseline:g} is where baseline_schedule=staleness starts, between "
                f"baseline_lowest={self.baseline_lowest:g} and 0"
            )
        return self

    @model_validator(mode="after")
    def checkpoints_are_chosen_on_questions_kept_back(self) -> Self:
        """If training chooses checkpoints by validation, there must be validation questions."""
        if self.train.validation_prompts and self.questions_of("validation") is None:
            kept = f"{self.section_of_questions}.validation"
            raise ValueError(
                f"train.validation_prompts={self.train.validation_prompts}, but {kept}=0: "
                f"set {kept} to keep training questions back, or "
                "train.validation_prompts=0 to choose no checkpoint"
            )
        return self

    @model_validator(mode="after")
    def completions_fit_the_context(self) -> Self:
        """`max_tokens` must be below the context, to leave room for the prompt."""
        longest = max(self.sampling.max_tokens, self.evaluation.sampling.max_tokens)
        if longest >= self.policy.context:
            raise ValueError(
                f"max_tokens ({longest}) must be below policy.context ({self.policy.context})"
            )
        for name, suite in self.evaluation.suites.items():
            if suite.sampling.max_tokens >= self.policy.context:
                raise ValueError(
                    f"evaluation.suites.{name}.sampling.max_tokens ({suite.sampling.max_tokens}) "
                    f"must be below policy.context ({self.policy.context})"
                )
        return self

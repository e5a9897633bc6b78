"""Everything about an experiment in one model, and the rules that hold between its parts."""

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
"""The tasks whose questions are made for the embedded policy, and the one that has none; verdicts
that came with rollouts are those of the grader `imported`."""


class ExperimentConfig(RoundsConfig, BaselineScheduleConfig):
    """Everything about an experiment; one model for every command."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="of the experiment and its directory"
    )
    runs_dir: HomePath = Field(Path("runs"), description="where experiments' directories lie")
    baseline: float = Field(description="delta-V: V(x) = reference(x) + baseline")
    baseline_reference: Reference | str = Field(
        "group_mean",
        description="of V(x): the mean reward of the group, of the group's other samples, of all "
        "rollouts, or 0, ... (docs/reference/objectives.md); or your own, module:function",
    )
    # QAE's default (Wu et al. 2025); its authors advise 0.6 if entropy falls early
    baseline_quantile: float = Field(
        0.4,
        gt=0,
        le=1,
        description="of the group's rewards, under baseline_reference=group_quantile",
    )
    # no source has one: where most of a group's samples stay, its mean is V
    baseline_support: float = Field(
        0.5,
        gt=0,
        le=1,
        description="share of a group's samples to keep, under baseline_reference=limit_support",
    )
    baseline_decay: float = Field(
        0.9,
        ge=0,
        lt=1,
        description="weight of the mean so far, under baseline_reference=running_mean",
    )
    replicate: int = Field(
        0,
        ge=0,
        description="seed of everything that is drawn: it gives seed, policy.seed and "
        "sampling.seed, unless they are given",
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
        """Whether rollouts come from elsewhere, and none is generated."""
        return self.source.path is not None

    @property
    def section_of_questions(self) -> Literal["source", "task"]:
        """The section of settings that training questions come from, and that holds some back."""
        return "source" if self.is_foreign else "task"

    @property
    def group_size(self) -> int | None:
        """Rollouts of each prompt; None for groups of the sizes that they were imported in."""
        return None if self.is_foreign else self.sampling.samples_per_prompt

    @property
    def prompts_per_step(self) -> int:
        """Whole groups in an optimizer step."""
        return self.optim.trajectories_per_step // self.sampling.samples_per_prompt

    @property
    def fresh_prompts_per_step(self) -> int:
        """Those of them that a later round draws itself; the others are replayed."""
        return self.replay.fresh_prompts(self.prompts_per_step)

    @property
    def steps(self) -> int | None:
        """Optimizer steps of an arm; None for as many as `optim.epochs` hold."""
        return self.steps_of_rounds or self.optim.steps

    def of_suite(self, name: str) -> "ExperimentConfig":
        """Return the settings under which a suite is what is evaluated, and nothing beside it."""
        suite = self.evaluation.suites[name]
        evaluation = EvaluationConfig(
            split=suite.split, prompts=suite.prompts, sampling=suite.sampling
        )
        lengths = {"max_tokens": suite.sampling.max_tokens}  # a prompt need leave room for no more
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
        """Return the section that a split's questions come from; None if there are none."""
        section = self.section_of_questions
        if split == "train" or getattr(getattr(self, section), split):
            return section
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

    @field_validator("baseline_reference")
    @classmethod
    def reference_is_known_or_a_function(cls, name: str) -> str:
        """Those of `Reference` are built in; any other name is a user's function."""
        if name in REFERENCES or is_plugin(name):
            return name
        raise ValueError(
            f"{name} is none of {', '.join(REFERENCES)} and not of the form module:function"
        )

    @model_validator(mode="before")
    @classmethod
    def settings_left_open_are_decided_by_others(cls, values: Any) -> Any:
        """`config/left_open.py` says which, and by what."""
        return filled(values) if isinstance(values, Mapping) else values

    @model_validator(mode="after")
    def there_are_questions(self) -> Self:
        """`task=imported` has none of its own."""
        if self.task.loader == IMPORTED and self.questions_of("train") == "task":
            raise ValueError(
                "no questions are given: name a task (task=file task.path=FILE "
                "task.held_out=N, or task=gsm8k, math, ...), or rollouts that exist already "
                "(source.path=FILE)"
            )
        return self

    @model_validator(mode="after")
    def imported_rollouts_are_judged_on_their_own_questions(self) -> Self:
        """The embedded questions say nothing of rollouts from elsewhere."""
        if self.task.loader not in EMBEDDED_TASKS or self.questions_of("train") == "task":
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
    def imported_verdicts_come_with_imported_rollouts(self) -> Self:
        """Generated rollouts have no verdicts but those of graders."""
        if IMPORTED in self.reward.graders and self.section_of_questions == "task":
            raise ValueError(
                f"reward.graders names {IMPORTED}, the verdicts that come with rollouts from "
                "elsewhere, and these are generated; name graders alone, or bring rollouts "
                "(source.path=FILE)"
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
        if self.refresh_every and self.source.path:
            raise ValueError(
                "refresh_every generates rollouts anew, and source.path brings them from "
                "elsewhere; leave one of them null"
            )
        return self

    @model_validator(mode="after")
    def steps_hold_whole_groups(self) -> Self:
        """A group is never cut: its mean is its reference."""
        if self.group_size and self.optim.trajectories_per_step % self.group_size:
            raise ValueError(
                f"optim.trajectories_per_step ({self.optim.trajectories_per_step}) must be a "
                f"multiple of sampling.samples_per_prompt ({self.group_size})"
            )
        return self

    @model_validator(mode="after")
    def what_rounds_hold_needs_rounds(self) -> Self:
        """Replay and the mean over rounds look back on earlier rounds."""
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
        """The buffer of a later round holds the groups that so many rounds drew themselves."""
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
        """Without the sample itself, a group of one has no mean."""
        if self.baseline_reference == "leave_one_out" and self.group_size == 1:
            raise ValueError("baseline_reference=leave_one_out needs sampling.samples_per_prompt>1")
        return self

    @model_validator(mode="after")
    def staleness_can_be_measured(self) -> Self:
        """Means over rollouts estimate expectations under mu only if mu drew them, untruncated."""
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
        """There must be validation questions where training is to choose by them."""
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
        """A completion as long as the context would leave no room for its prompt."""
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

"""The settings of an experiment, section by section, and what follows from them."""

from pathlib import Path
from typing import Annotated, Literal, Self, get_args

from pydantic import Field

from asymreinforce.config.baseline import BaselineScheduleConfig
from asymreinforce.config.engine import EngineConfig, RayConfig
from asymreinforce.config.plan import PlanConfig
from asymreinforce.config.policy import PolicyConfig
from asymreinforce.config.reward import RewardConfig
from asymreinforce.config.rounds import ReplayConfig, RoundsConfig
from asymreinforce.config.sampling import EvaluationConfig, RolloutConfig
from asymreinforce.config.settings import HomePath, name_or_function
from asymreinforce.config.source import SourceConfig
from asymreinforce.config.sweep import Pins, SearchConfig, SweepConfig, TrackerConfig
from asymreinforce.config.task import Split, TaskConfig
from asymreinforce.config.training import AlgorithmConfig, OptimConfig, TrainConfig

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


class ExperimentSections(RoundsConfig, BaselineScheduleConfig):
    """The settings by section; `ExperimentConfig` adds the rules between them."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="name of the experiment and its directory",
    )
    runs_dir: HomePath = Field(Path("runs"), description="directory of all experiments")
    baseline: float = Field(description="delta-V: V(x) = reference(x) + baseline")
    baseline_reference: Annotated[Reference | str, name_or_function(REFERENCES)] = Field(
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

    def of_suite(self, name: str) -> Self:
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

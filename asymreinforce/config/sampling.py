"""Settings of sampling, for rollouts, evaluation and suites."""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from asymreinforce.config.left_open import MOST_SAMPLES
from asymreinforce.config.settings import Settings
from asymreinforce.config.task import Split, TaskConfig

LOWEST_TEMPERATURE = 0.01


class SamplingConfig(Settings):
    """How completions are sampled from a frozen policy."""

    samples_per_prompt: int = Field(ge=1, le=MOST_SAMPLES, description="G, the size of a group")
    temperature: float = Field(1.0, ge=0, le=100, description="0: greedy, the likeliest token")
    top_p: float = Field(
        1.0,
        gt=0,
        le=1,
        description="sample from the likeliest tokens whose total probability is this",
    )
    max_tokens: int = Field(ge=1, description="longest completion, in tokens; null: from the task")
    seed: int = Field(0, description="seed of sampling")

    @field_validator("temperature")
    @classmethod
    def a_temperature_is_not_almost_0(cls, value: float) -> float:
        """A temperature is 0 or at least `LOWEST_TEMPERATURE`."""
        # vLLM raises smaller temperatures to 0.01, and logits divided by less overflow
        if 0 < value < LOWEST_TEMPERATURE:
            raise ValueError(f"must be 0 (greedy), or at least {LOWEST_TEMPERATURE:g}")
        return value


class RolloutConfig(SamplingConfig):
    """Sampling of the rollouts, and their division into shards."""

    samples_per_block: int = Field(
        ge=1,
        le=MOST_SAMPLES,
        description="samples of a prompt in one shard, lowered to the greatest common divisor with "
        "samples_per_prompt",
    )
    prompts_per_shard: int = Field(ge=1, le=10_000_000, description="prompts in one shard")


class SuiteConfig(Settings):
    """A further benchmark, with its own questions, grader and sampling."""

    task: TaskConfig = Field(description="questions, prompts and grader; or the name of a preset")
    split: Split = Field("held_out", description="split of the task's questions")
    prompts: int | None = Field(None, ge=1, description="number of first prompts; null: all")
    sampling: SamplingConfig = Field(
        description="defaults are evaluation.sampling, and max_tokens from the task"
    )
    checkpoints: Literal["ends", "all"] = Field(
        "ends", description="ends: mu, and each arm's best on validation and last checkpoint"
    )

    @model_validator(mode="after")
    def there_are_questions(self) -> Self:
        """A suite must have questions."""
        if self.task.loader == "imported":
            raise ValueError(
                "task=imported has no questions of its own; name a task such as math500, or "
                "{preset: file, path: FILE}"
            )
        if getattr(self.task, self.split) == 0:
            raise ValueError(
                f"split={self.split}, and task.{self.split}=0 leaves it no question; raise it, or "
                "take another split"
            )
        return self


SuiteName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]


class EvaluationConfig(Settings):
    """How checkpoints are evaluated; held-out prompts are only reported, and choose nothing."""

    split: Split = Field("held_out", description="split on which checkpoints are evaluated")
    prompts: int | None = Field(
        None, ge=0, description="number of first prompts; null: all, 0: no evaluation"
    )
    sampling: SamplingConfig
    train_prompts: int = Field(0, ge=0, description="training prompts to evaluate as well")
    suites: dict[SuiteName, SuiteConfig] = Field(
        default_factory=dict,
        description="further benchmarks, as in [math500,aime24] or {amc: {task: math500, ...}} "
        "(docs/guides/suites.md)",
    )

    @model_validator(mode="after")
    def training_prompts_are_evaluated_once(self) -> Self:
        """`split=train` and `train_prompts` may not both ask for training prompts."""
        if self.split == "train" and self.train_prompts:
            raise ValueError(
                "evaluation.split=train evaluates the training prompts already: set "
                "evaluation.train_prompts=0, and evaluation.prompts for the first so many"
            )
        return self

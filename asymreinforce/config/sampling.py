"""Settings of sampling: of the rollouts, of evaluation, and of the suites beside it."""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from asymreinforce.config.left_open import MOST_SAMPLES
from asymreinforce.config.settings import Settings
from asymreinforce.config.task import Split, TaskConfig

LOWEST_TEMPERATURE = 0.01


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


class SuiteConfig(Settings):
    """A benchmark beside the main evaluation: its own questions, grader and sampling."""

    task: TaskConfig = Field(description="questions, prompts and grader; a preset's name will do")
    split: Split = Field("held_out", description="of the task's questions")
    prompts: int | None = Field(None, ge=1, description="the first so many; null for all")
    sampling: SamplingConfig = Field(
        description="what is left out is that of evaluation.sampling, max_tokens as the task says"
    )
    checkpoints: Literal["ends", "all"] = Field(
        "ends", description="ends: mu, and of each arm the best on validation and the last"
    )

    @model_validator(mode="after")
    def there_are_questions(self) -> Self:
        """A suite of no question would report nothing."""
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
    """How checkpoints are evaluated; held-out prompts are reported, and choose nothing."""

    split: Split = Field("held_out", description="questions that checkpoints are evaluated on")
    prompts: int | None = Field(
        None, ge=0, description="the first so many; null for all, 0 to evaluate nothing"
    )
    sampling: SamplingConfig
    train_prompts: int = Field(0, ge=0, description="training prompts evaluated beside the split")
    suites: dict[SuiteName, SuiteConfig] = Field(
        default_factory=dict,
        description="further benchmarks, as in [math500,aime24] or {amc: {task: math500, ...}} "
        "(docs/guides/suites.md)",
    )

    @model_validator(mode="after")
    def training_prompts_are_evaluated_once(self) -> Self:
        """Both settings would ask for the same prompts, each for a number of its own."""
        if self.split == "train" and self.train_prompts:
            raise ValueError(
                "evaluation.split=train evaluates the training prompts already: set "
                "evaluation.train_prompts=0, and evaluation.prompts for the first so many"
            )
        return self

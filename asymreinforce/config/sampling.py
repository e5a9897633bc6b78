"""Settings of sampling: of the rollouts, and of evaluation."""

from typing import Self

from pydantic import Field, field_validator, model_validator

from asymreinforce.config.left_open import MOST_SAMPLES
from asymreinforce.config.settings import Settings
from asymreinforce.config.task import Split

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

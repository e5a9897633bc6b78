"""Settings of the reward scale, and limits of the grader."""

from typing import Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from asymreinforce import plugins
from asymreinforce.config.settings import Settings

Value = Literal["threshold", "score"]
"""Rewards of a score that are built in."""
VALUES: tuple[str, ...] = get_args(Value)


class RewardConfig(Settings):
    """The reward scale, applied to stored verdicts at train time, and limits of the grader."""

    correct: float = Field(1.0, ge=-1e9, le=1e9, description="reward of a correct completion")
    incorrect: float = Field(-1.0, ge=-1e9, le=1e9, description="reward of an incorrect completion")
    value: Value | str = Field(
        "threshold",
        description="threshold: `correct` or `incorrect`; score: the score s itself, as "
        "incorrect + (correct - incorrect) s; module:function: your own, of scores",
    )
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

    @field_validator("value")
    @classmethod
    def value_is_known_or_a_function(cls, value: str) -> str:
        """Two are built in; any other name is a user's function."""
        if value in VALUES or plugins.is_plugin(value):
            return value
        raise ValueError(
            f"{value} is none of {', '.join(VALUES)} and not of the form module:function"
        )

    @model_validator(mode="after")
    def correct_pays_more_than_incorrect(self) -> Self:
        """A scale on which a wrong answer pays as much as a right one teaches the reverse."""
        if self.correct <= self.incorrect:
            raise ValueError("reward.correct must be above reward.incorrect")
        return self

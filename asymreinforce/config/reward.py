"""Settings of rewards, and limits of the graders."""

from typing import Annotated, Literal, Self, get_args

from pydantic import BeforeValidator, Field, model_validator

from asymreinforce.config.settings import Settings, listed, name_or_function

Value = Literal["threshold", "score"]
"""Built-in rules that turn a score into a reward."""
VALUES: tuple[str, ...] = get_args(Value)
Weight = Annotated[float, Field(ge=-1e9, le=1e9)]


class OverlongConfig(Settings):
    """DAPO's soft punishment of long completions, added to the reward (Yu et al. 2025)."""

    max_tokens: int | None = Field(
        None,
        ge=1,
        le=10_000_000,
        description="L_max of DAPO's soft overlong punishment: a longer completion gets -weight; "
        "null: no punishment",
    )
    cache_tokens: int | None = Field(
        None,
        ge=1,
        le=10_000_000,
        description="L_cache: over this many tokens below max_tokens the punishment grows from 0 "
        "to -weight",
    )
    weight: float = Field(
        1.0, gt=0, le=1e9, description="largest punishment; DAPO has 1, for rewards of 1 and -1"
    )

    @property
    def free_tokens(self) -> int:
        """Length of the longest completion without punishment: L_max - L_cache."""
        return (self.max_tokens or 0) - (self.cache_tokens or 0)

    @model_validator(mode="after")
    def the_cache_ends_at_the_longest_completion(self) -> Self:
        """Both lengths are given or neither, and L_cache is at most L_max."""
        if (self.max_tokens is None) != (self.cache_tokens is None):
            given = "max_tokens" if self.cache_tokens is None else "cache_tokens"
            other = "cache_tokens" if self.cache_tokens is None else "max_tokens"
            raise ValueError(
                f"reward.overlong.{given} is set without reward.overlong.{other}: max_tokens is "
                "the length from which on a completion pays all of it (as a rule "
                "sampling.max_tokens), cache_tokens over how many tokens below it that begins"
            )
        if self.max_tokens is None or self.cache_tokens is None:
            return self
        if self.cache_tokens > self.max_tokens:
            raise ValueError(
                f"reward.overlong.cache_tokens ({self.cache_tokens}) is above "
                f"reward.overlong.max_tokens ({self.max_tokens}): the punishment would begin below "
                "a length of 0; lower cache_tokens (DAPO's is a fifth of max_tokens)"
            )
        return self


class RewardConfig(Settings):
    """The reward scale, applied to stored verdicts in training, and limits of the graders."""

    correct: float = Field(1.0, ge=-1e9, le=1e9, description="reward of a correct completion")
    incorrect: float = Field(-1.0, ge=-1e9, le=1e9, description="reward of an incorrect completion")
    value: Annotated[Value | str, name_or_function(VALUES)] = Field(
        "threshold",
        description="threshold: `correct` or `incorrect`; score: incorrect + (correct - "
        "incorrect) s, with s the score; module:function: your own function of scores",
    )
    graders: Annotated[tuple[str, ...], BeforeValidator(listed)] = Field(
        (),
        description="graders whose weighted sum is the reward, each with its own verdicts: names "
        "as in task.grader, or imported; empty: task.grader alone",
    )
    weights: Annotated[tuple[Weight, ...] | None, BeforeValidator(listed)] = Field(
        None, description="weights of reward.graders, in their order; null: 1 each"
    )
    correct_at: float = Field(1.0, gt=0, le=1, description="lowest score that counts as correct")
    no_answer: Literal["incorrect", "exclude"] = Field(
        "incorrect", description="treatment of completions without an answer"
    )
    truncated: Literal["incorrect", "exclude", "as_judged"] = Field(
        "incorrect", description="treatment of completions that were cut off at max_tokens"
    )
    unjudged: Literal["incorrect", "exclude"] = Field(
        "exclude",
        description="treatment of completions that the grader could not score (timeout, error)",
    )
    reasoning: Literal["marked", "always", "ignored"] = Field(
        "marked",
        description="marked: the answer follows the last block of reasoning, and there is none if "
        "a block never ends; always: the prompt begins a block; ignored: read the whole text",
    )
    cpu_limit_s: float = Field(
        5.0,
        gt=0,
        le=1e6,
        description="CPU seconds to grade one completion; the wall-clock limit is 12 times as long",
    )
    memory_limit_mb: int = Field(
        1024, ge=64, le=10_000_000, description="address space that a grader may add"
    )
    workers: int | None = Field(
        None, ge=1, le=4096, description="grader processes; null: one per core"
    )
    max_error_rate: float = Field(
        0.02, ge=0, le=1, description="share of timeouts and errors above which scoring fails"
    )
    overlong: OverlongConfig = OverlongConfig()

    @property
    def weight_by_grader(self) -> dict[str, float]:
        """The weight of each grader, ordered by name; empty if task.grader alone is used."""
        weights = self.weights or (1.0,) * len(self.graders)
        return dict(sorted(zip(self.graders, weights, strict=True)))

    @property
    def is_one_of_two(self) -> bool:
        """Whether every reward is `correct` or `incorrect`, so that a reward tells the verdict."""
        is_of_verdict = not self.graders and self.overlong.max_tokens is None
        return self.value == "threshold" and is_of_verdict

    @property
    def limits(self) -> list[float | str]:
        """Settings that decide verdicts besides the grader, for identities."""
        reasoning = [self.reasoning] if self.reasoning != "marked" else []
        return [self.cpu_limit_s, self.memory_limit_mb, *reasoning]

    @model_validator(mode="after")
    def every_grader_has_a_weight(self) -> Self:
        """Each grader is named once and has one weight, and some weight is not 0."""
        repeated = {name for name in self.graders if self.graders.count(name) > 1}
        if repeated:
            raise ValueError(
                f"reward.graders names {', '.join(sorted(repeated))} more than once; name each "
                "grader once, and give it the sum of its weights"
            )
        if self.weights is None:
            return self
        if len(self.weights) != len(self.graders):
            raise ValueError(
                f"reward.weights are {len(self.weights)} for {len(self.graders)} of "
                "reward.graders: name the graders, and give each one weight in their order, as in "
                "reward.graders=[math,my_module:format] reward.weights=[1,0.2]"
            )
        if self.graders and not any(self.weights):
            raise ValueError("reward.weights are all 0, so that every reward is the same")
        return self

    @model_validator(mode="after")
    def correct_pays_more_than_incorrect(self) -> Self:
        """A correct completion must get more than an incorrect one: else the reverse is learned."""
        if self.correct <= self.incorrect:
            raise ValueError("reward.correct must be above reward.incorrect")
        return self

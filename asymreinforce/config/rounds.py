"""Settings of refresh rounds: when pi becomes mu, and which earlier rounds a step replays."""

from typing import Self

from pydantic import Field, model_validator

from asymreinforce.config.settings import Settings

WHOLE = 1e-9
"""Tolerance for whole numbers: 0.28 times 25 is slightly above 7 and means 7."""


class RoundsConfig(Settings):
    """Rounds of 'asymrl run': generate, score, train `refresh_every` steps, mu <- pi.

    Rollouts are off-policy by up to `refresh_every` steps; 1 is on-policy, null never refreshes.
    """

    rounds: int | None = Field(
        None, ge=1, description="number of rounds; null: as many as the arm's steps make"
    )
    refresh_every: int | None = Field(
        None,
        ge=1,
        description="steps of a round, after which mu <- pi and rollouts are new; null: never",
    )

    @property
    def steps_of_rounds(self) -> int | None:
        """The steps of all rounds together, None if `rounds` or `refresh_every` is null."""
        return self.rounds * self.refresh_every if self.rounds and self.refresh_every else None

    @model_validator(mode="after")
    def rounds_have_a_length(self) -> Self:
        """`rounds` needs `refresh_every`, the steps of a round."""
        if self.rounds and not self.refresh_every:
            raise ValueError(
                f"rounds={self.rounds} needs refresh_every, the steps of a round; the paper's "
                "language models take refresh_every=250"
            )
        return self


class ReplayConfig(Settings):
    """Experience replay: a step mixes the round's own rollouts with rollouts of earlier rounds.

    At `capacity` 0 nothing is replayed, and the other settings have no effect.
    """

    capacity: int = Field(0, ge=0, description="number of earlier rounds whose rollouts are kept")
    fresh_share: float = Field(
        0.5, gt=0, le=1, description="share of a step's groups from the current round"
    )
    positive_bias: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of the groups too old for `capacity` whose correct completions are kept "
        "for as many more rounds",
    )

    def fresh_prompts(self, prompts_per_step: int) -> int:
        """Return how many of a step's groups its own round draws; all of them without replay.

        Raises `ValueError` if `fresh_share` gives no whole number of groups, or all groups.
        """
        if not self.capacity:
            return prompts_per_step
        if prompts_per_step == 1:
            raise ValueError(
                "a step of one group cannot hold fresh and replayed ones: raise "
                "optim.trajectories_per_step, or set replay.capacity=0"
            )
        groups = self.fresh_share * prompts_per_step
        if abs(groups - round(groups)) > WHOLE * prompts_per_step or not round(groups):
            possible = max(1, min(prompts_per_step - 1, round(groups)))
            raise ValueError(
                f"replay.fresh_share={self.fresh_share:g} of {prompts_per_step} groups a step "
                f"(optim.trajectories_per_step / sampling.samples_per_prompt) is no whole number "
                f"of them: take {possible}/{prompts_per_step} = {possible / prompts_per_step:g}"
            )
        if round(groups) == prompts_per_step:
            raise ValueError(
                f"replay.capacity={self.capacity} holds rollouts that replay.fresh_share=1 never "
                "replays: lower replay.fresh_share, or set replay.capacity=0"
            )
        return round(groups)

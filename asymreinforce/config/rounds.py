"""Settings of refresh rounds: how often the policy in training becomes the behaviour policy."""

from typing import Self

from pydantic import Field, model_validator

from asymreinforce.config.settings import Settings


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

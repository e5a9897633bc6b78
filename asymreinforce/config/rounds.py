"""Settings of refresh rounds: how often the behaviour policy becomes the policy in training."""

from typing import Self

from pydantic import Field, model_validator

from asymreinforce.config.settings import Settings


class RoundsConfig(Settings):
    """Rounds of generate, score, train `refresh_every` steps, mu <- pi: 'asymrl run'.

    Off-policy by up to `refresh_every` steps; 1 is on-policy, null never refreshes.
    """

    rounds: int | None = Field(
        None, ge=1, description="so many rounds; null for as many as the arm's steps make"
    )
    refresh_every: int | None = Field(
        None, ge=1, description="N, steps of a round: then mu <- pi, and new rollouts; null never"
    )

    @property
    def steps_of_rounds(self) -> int | None:
        """The steps of all rounds together, where their number is given."""
        return self.rounds * self.refresh_every if self.rounds and self.refresh_every else None

    @model_validator(mode="after")
    def rounds_have_a_length(self) -> Self:
        """A number of rounds says nothing without the steps of each."""
        if self.rounds and not self.refresh_every:
            raise ValueError(
                f"rounds={self.rounds} needs refresh_every, the steps of a round; the paper's "
                "language models take refresh_every=250"
            )
        return self

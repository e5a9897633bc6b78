"""Settings of a search: the budget of each method, and the choice and value of its trials."""

from typing import Literal

from pydantic import Field

from asymreinforce.config.settings import Settings


class SearchConfig(Settings):
    """Budget of 'asymrl search' for each method (docs/guides/search.md)."""

    trials: int = Field(8, ge=1, le=10_000, description="trials of each method, one arm per seed")
    spread: int = Field(
        4,
        ge=0,
        description="first trials, at evenly spread values; optuna's TPE proposes the others",
    )
    value: Literal["best", "last"] = Field(
        "best", description="validation accuracy of an arm's best or last checkpoint"
    )
    seed: int = Field(0, ge=0, description="seed of TPE")

"""Settings of a search: the budget of each method, and how its trials are proposed and judged."""

from typing import Literal

from pydantic import Field

from asymreinforce.config.settings import Settings


class SearchConfig(Settings):
    """What 'asymrl search' spends on each method (docs/guides/search.md)."""

    trials: int = Field(8, ge=1, le=10_000, description="of each method, an arm a seed in each")
    spread: int = Field(
        4,
        ge=0,
        description="trials at evenly spread values; optuna's TPE proposes the later ones",
    )
    value: Literal["best", "last"] = Field(
        "best", description="validation accuracy of an arm's best checkpoint, or its last one"
    )
    seed: int = Field(0, ge=0, description="of TPE's proposals")

"""Settings of a baseline that changes while an arm trains (`algorithm/baseline_schedule.py`)."""

from typing import Any, Literal

from pydantic import Field

from asymreinforce.config.settings import Settings

SCHEDULE_OF = {
    "baseline_start": "linear",
    "baseline_steps": "linear",
    "baseline_measure": "staleness",
    "baseline_target": "staleness",
    "baseline_gain": "staleness",
    "baseline_lowest": "staleness",
}
"""The `baseline_schedule` that uses each of these settings."""


class BaselineScheduleConfig(Settings):
    """How the baseline changes over the steps of an arm; the default is constant."""

    baseline_schedule: Literal["constant", "linear", "staleness"] = Field(
        "constant",
        description="linear: by step, from baseline_start to `baseline`; staleness: starts at "
        "`baseline`, falls while pi is far from mu, rises towards 0 while pi is near mu "
        "(docs/guides/schedules.md)",
    )
    baseline_start: float = Field(0.0, description="linear: the baseline of the first step")
    baseline_steps: int = Field(100, ge=1, description="linear: steps to `baseline`")
    baseline_measure: Literal["log_mean_weight", "kl"] = Field(
        "log_mean_weight",
        description="staleness: -log of the mean weight pi/mu, or KL(mu || pi), measured every "
        "train.diagnostics_every steps",
    )
    # measured on the embedded default: at 0.5 the baseline swings (docs/guides/schedules.md)
    baseline_target: float = Field(
        0.1, ge=0, description="staleness: target in nats; at it the baseline does not change"
    )
    baseline_gain: float = Field(
        0.1, gt=0, description="staleness: change of the baseline per nat, at each measurement"
    )
    # the lowest baseline of the paper's grid (Arnal et al. 2025, Sec. 5.2)
    baseline_lowest: float = Field(-0.5, le=0, description="staleness: lowest baseline")

    @property
    def changing_baseline(self) -> dict[str, Any]:
        """Settings that determine how the baseline changes, empty if it is constant."""
        if self.baseline_schedule == "constant":
            return {}
        names = {n for n, schedule in SCHEDULE_OF.items() if schedule == self.baseline_schedule}
        return self.model_dump(mode="json", include={"baseline_schedule", *names})

"""The baseline of each step of an arm: constant, linear in the step, or controlled."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from asymreinforce.algorithm.baseline_schedule import (
    linear_baseline,
    next_baseline,
    staleness_of,
)
from asymreinforce.algorithm.table import has_baseline
from asymreinforce.config import ExperimentConfig
from asymreinforce.errors import InputError

STATE = "baseline"
"""The key of the next step's baseline in a checkpoint's state."""


class BaselineInForce:
    """The baseline of an arm, which a schedule may change from step to step.

    Only the staleness controller has a state: the baseline of the next step. Raises `InputError`
    if the controller is set and the diagnostics do not measure staleness (`is_measured`).
    """

    def __init__(self, config: ExperimentConfig, *, is_measured: bool):
        self._config = config
        self._value = config.baseline
        # an objective without a baseline has nothing to schedule
        changes = has_baseline(config.algorithm.name)
        self._schedule = config.baseline_schedule if changes else "constant"
        if self._schedule == "staleness" and not is_measured:
            raise InputError(
                f"baseline_schedule=staleness needs {config.baseline_measure}, which these "
                "rollouts leave null: mu did not draw them at temperature 1 and top-p 1; "
                "baseline_schedule=linear needs no measurement"
            )

    def at(self, step: int) -> float:
        """Return the baseline of a step; steps count from 1."""
        config = self._config
        if self._schedule == "linear":
            return linear_baseline(
                step, start=config.baseline_start, end=config.baseline, steps=config.baseline_steps
            )
        return self._value

    def after(self, step: int, metrics: Mapping[str, Any]) -> dict[str, float]:
        """Return the step's baseline as a metric, unless it is constant; update the controller."""
        if self._schedule == "constant":
            return {}
        used, config = self.at(step), self._config
        measured = metrics.get(config.baseline_measure)
        if self._schedule == "staleness" and measured is not None:
            self._value = next_baseline(
                used,
                staleness_of(config.baseline_measure, measured),
                target=config.baseline_target,
                gain=config.baseline_gain,
                lowest=config.baseline_lowest,
            )
        return {"baseline": used}

    @property
    def state(self) -> dict[str, Tensor]:
        """The state for a checkpoint; empty without a controller."""
        if self._schedule != "staleness":
            return {}
        # float64 holds a Python float exactly, so that a resumed run has the same baselines
        return {STATE: torch.tensor(self._value, dtype=torch.float64)}

    def resume(self, state: Mapping[str, Tensor]) -> None:
        """Restore the state from a checkpoint."""
        if self._schedule == "staleness":
            self._value = float(state[STATE])

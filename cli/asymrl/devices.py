"""Choose the machine for which `train.device=auto` and `train.precision=auto` are resolved."""

from collections.abc import Sequence

from asymreinforce.config import ExperimentConfig
from asymreinforce.errors import ConfigError
from asymreinforce.model.devices import (
    depends_on_the_machine,
    planned_gpu,
    resolve_auto,
    this_machine,
)

LAUNCHERS_HERE = {"basic", "joblib", "slurm_here", "submitit_local"}
"""Hydra launchers that run their jobs on this machine."""


def trained_by(launcher: str | None, arms: Sequence[ExperimentConfig]) -> list[ExperimentConfig]:
    """Resolve `auto` for arms that a Hydra launcher starts, or this command itself (None).

    Raises `ConfigError` if the launcher may use other machines. The command names an arm's
    directory on this machine, before a job can know its device.
    """
    if launcher not in {None, *LAUNCHERS_HERE} and any(depends_on_the_machine(arm) for arm in arms):
        raise ConfigError(
            f"hydra/launcher={launcher} trains on machines that may differ from this one, and "
            "'auto' is decided by a machine; set train.device=cuda (or cpu) and "
            "train.precision=bfloat16 (or float32)"
        )
    return trained_here(arms)


def trained_here(arms: Sequence[ExperimentConfig]) -> list[ExperimentConfig]:
    """Resolve `auto` for arms that this machine trains."""
    return [resolve_auto(arm, this_machine) for arm in arms]


def resolved_for_plan(arms: Sequence[ExperimentConfig]) -> list[ExperimentConfig]:
    """Resolve `auto` for arms of a plan, by the GPU that the plan assumes."""
    return [resolve_auto(arm, planned_gpu) for arm in arms]

"""Launch the arms of a sweep: in the slots of this machine, or by a Hydra launcher."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from asymreinforce.config import ExperimentConfig
from asymreinforce.errors import AsymreinforceError, ConfigError
from asymreinforce.failures import first_line
from asymreinforce.model.devices import depends_on_the_machine, resolve_auto, this_machine
from asymreinforce.progress import say

if TYPE_CHECKING:
    from asymreinforce.experiment.sweep import SweepResult

LAUNCHERS_HERE = {"basic", "joblib", "slurm_here", "submitit_local"}
"""Hydra launchers that run their jobs on this machine."""


def sweep_arms(
    arms: Sequence[ExperimentConfig],
    *,
    launcher: str | None = None,
    overrides: Sequence[str] = (),
) -> "SweepResult":
    """Train and evaluate arms on one set of rollouts, and summarize; resolves `auto` first.

    A Hydra `launcher` composes the arms from the `overrides` again. Without a launcher, or with
    arms that train side by side, the arms train in the slots of this machine. Raises `ConfigError`
    if the arms do not belong to one sweep.
    """
    from asymreinforce.experiment.side_by_side import run_in_processes
    from asymreinforce.experiment.sweep import run_sweep, training_slots

    arms = trained_by(launcher, arms)
    if any(arm.refresh_every for arm in arms):
        raise ConfigError(
            "refresh_every generates new rollouts during training, and a sweep trains on one set; "
            "'asymrl run' takes the same settings"
        )
    together = arms[0].sweep.together
    is_here = together > 1 or launcher is None
    slots = training_slots(arms) if is_here else []

    def launch(waiting: Sequence[ExperimentConfig]) -> None:
        if is_here:
            run_in_processes(waiting, size=together, slots=slots)
        else:
            launch_by_hydra(overrides)

    return run_sweep(arms, launch=launch)


def launch_by_hydra(overrides: Sequence[str]) -> None:
    """Train the arms of the overrides with a Hydra launcher, and wait for the launcher.

    Each arm records its result in its directory. If a job ended without a record (killed, out of
    memory, out of time), the launcher raises, which becomes a warning.
    """
    from asymrl import jobs
    from asymrl.bridge import run_hydra

    try:
        run_hydra(jobs.arm_job, ["--multirun", *overrides], elsewhere=True)
    except AsymreinforceError:
        raise
    except Exception as error:
        reason = first_line(error)[:300]
        say(
            f"warning: the launcher gave up on a job ({type(error).__name__}: {reason}); "
            "jobs that it started may still run: the same sweep again, once they are done, adds "
            "what is missing"
        )


def launcher_of(overrides: Sequence[str]) -> str | None:
    """Return the Hydra launcher that the overrides name; None for the slots of this machine.

    Raises `ConfigError` if the overrides set a launcher's settings and name no launcher.
    """
    chosen = [word.split("=", 1)[1] for word in overrides if word.startswith("hydra/launcher=")]
    settings = [word for word in overrides if word.lstrip("+~").startswith("hydra.launcher.")]
    if settings and not chosen:
        raise ConfigError(
            f"{settings[0]} sets a launcher of Hydra's, and none is named: add one, such as "
            "hydra/launcher=slurm; on this machine sweep.workers=N limits the arms at once"
        )
    return chosen[-1] if chosen else None


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

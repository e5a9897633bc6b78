"""Launch a sweep's arms by whichever of Hydra's launchers was asked for."""

import contextlib
from collections.abc import Sequence

from asymreinforce.errors import AsymreinforceError
from asymreinforce.interruption import with_workers
from asymreinforce.progress import say
from cli import jobs
from cli.bridge import run_hydra


def launch_arms(overrides: Sequence[str]) -> None:
    """Train the arms that the overrides expand to; return when the launcher does.

    How an arm ended is written in its directory. A launcher raises where a job ended without that:
    killed, out of memory, out of time. That is said, and costs the other arms nothing.
    """
    is_here = launcher_of(overrides) == "joblib"  # jobs of a cluster do not end with this command
    try:
        with with_workers() if is_here else contextlib.nullcontext():
            run_hydra(jobs.arm_job, ["--multirun", *overrides], elsewhere=True)
    except AsymreinforceError:
        raise
    except Exception as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        say(
            f"warning: the launcher gave up on a job ({type(error).__name__}: {reason[0][:300]}); "
            "jobs that it started may still run: the same sweep again, once they are done, adds "
            "what is missing"
        )


def launcher_of(overrides: Sequence[str]) -> str:
    """Return the launcher that overrides name, or the default."""
    chosen = [word.split("=", 1)[1] for word in overrides if word.startswith("hydra/launcher=")]
    return chosen[-1] if chosen else "joblib"

"""Kill a stage at each of its failpoints, in forks of one process that has imported everything.

Hundreds of imports of a model's code would take minutes; a fork takes milliseconds.
"""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests import killing, made

Stage = Callable[..., None]
"""A stage as a function of the directory that it writes to, and of what else it is given."""


def failpoints_that_differ(
    work: Path, stage: Stage, *given: Any, warm: Callable[..., None], every: int = 1
) -> tuple[list[str], list[str]]:
    """Run untouched, then killed at each failpoint (or at every n-th) and run again.

    Returns the failpoints passed, and those after which the payload was another. `warm` imports
    what the stage needs, passing no failpoint.
    """
    assert killing.run(_kill_everywhere, work, stage, given, warm, every) == 0
    names = [(work / part).read_text().splitlines() for part in ("points", "differing")]
    return names[0], names[1]


def _kill_everywhere(
    work: Path, stage: Stage, given: tuple[Any, ...], warm: Stage, every: int
) -> None:
    warm(*given)
    assert _forked(stage, work / "untouched", given, ASYMRL_FAILPOINT_LOG=str(work / "points")) == 0
    untouched = comparable(work / "untouched")
    differing = []
    points = list(enumerate((work / "points").read_text().splitlines(), start=1))
    for number, name in points[::every]:
        killed = _forked(stage, work / "killed", given, ASYMRL_FAILPOINT=str(number))
        assert killed == -signal.SIGKILL, name
        assert _forked(stage, work / "killed", given) == 0, name
        if comparable(work / "killed") != untouched:
            differing.append(name)
        shutil.rmtree(work / "killed")
    (work / "differing").write_text("\n".join(differing))


def _forked(stage: Stage, runs: Path, given: tuple[Any, ...], **environment: str) -> int:
    """Run in a fork of this process; return its exit code, -9 where it was killed."""
    child = os.fork()
    if not child:
        # SIGKILL loses nothing that was written; fsync is for power cuts, and slow.
        os.fsync = lambda fd: None
        os.environ.update(environment)
        try:
            stage(runs, *given)
        except BaseException as error:
            (runs.parent / "error").write_text(repr(error))
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def comparable(runs: Path) -> dict[str, bytes]:
    """The payload; an arm's config.json names the directory it lies in, by another name each."""
    return {
        name: content.replace(str(runs).encode(), b"RUNS")
        if name.endswith("config.json")
        else content
        for name, content in made.payload(runs).items()
    }

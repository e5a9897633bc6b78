"""Build the command that shows the completions or the rollouts behind a number of the report.

A reader pastes the command into a shell, so every part is quoted.
"""

import contextlib
import shlex
from collections.abc import Iterable
from pathlib import Path

from asymreinforce.data.store import Store
from asymreinforce.errors import InputError
from asymreinforce.report.records import Experiment, ReportedArm

SHORTEST = 6


class Commands:
    """Commands for the arms of one experiment; an arm is named by its shortest unique prefix."""

    def __init__(self, experiment: Experiment):
        self._directory = experiment.directory
        self._split = experiment.split
        self._short = shorten_ids([arm.id for arm in experiment.arms])
        self._rollout_sets = rollout_sets(experiment.directory)

    def samples(self, arm: ReportedArm, *, step: int, prompt_id: str | None = None) -> str:
        """Return the command that shows the graded completions of an arm at a step; 0 is mu."""
        words = ["asymrl", "samples", str(self._directory), "--arm", self._short[arm.id]]
        words += ["--step", str(step)]
        if self._split != "held_out":
            words += ["--split", self._split]
        return shlex.join([*words, *(["--prompt-id", prompt_id] if prompt_id is not None else [])])

    def rollouts(self, arm: ReportedArm) -> str | None:
        """Return the command that shows an arm's rollouts with their rewards and advantages.

        None if there are several sets of rollouts and the seed fits none or several.
        """
        names = [name for name, seed in self._rollout_sets.items() if seed == arm.sampling_seed]
        if len(self._rollout_sets) > 1 and len(names) != 1:
            return None
        words = ["asymrl", "inspect", str(self._directory)]
        if len(self._rollout_sets) > 1:
            words += ["--rollouts", names[0]]
        if arm.uses_baseline and arm.baseline is not None:
            words += ["--baseline", f"{arm.baseline:g}"]
            words += ["--reference", arm.baseline_reference]
        return shlex.join(words)

    @property
    def report(self) -> str:
        """The command that makes the page again."""
        return shlex.join(["asymrl", "report", str(self._directory)])


def rollout_sets(directory: Path) -> dict[str, int | None]:
    """Return the sampling seed of each set of rollouts, by name; None if it is unknown."""
    plans = sorted((directory / "rollouts").glob("*/plan.json"))
    seeds: dict[str, int | None] = {plan.parent.name: None for plan in plans}
    for store in readable_stores(directory / "rollouts"):
        sampling = store.identity.get("sampling")
        if isinstance(sampling, dict):
            seeds[store.directory.name] = sampling.get("seed")
    return seeds


def readable_stores(parent: Path) -> list[Store]:
    """Open the stores below a directory; those with a damaged plan are left out."""
    stores = []
    for plan in sorted(parent.glob("*/plan.json")):
        with contextlib.suppress(InputError):
            stores.append(Store.open(plan.parent))
    return stores


def shorten_ids(names: Iterable[str]) -> dict[str, str]:
    """Cut all names to the shortest common length, at least 6, at which they still differ."""
    listed = list(names)
    longest = max((len(name) for name in listed), default=SHORTEST)
    for length in range(SHORTEST, longest + 1):
        if len({name[:length] for name in listed}) == len(set(listed)):
            return {name: name[:length] for name in listed}
    return {name: name for name in listed}

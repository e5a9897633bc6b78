"""The exact command that shows what is behind a number: completions of an evaluation, or rollouts.

A reader pastes them into a shell, so every part is quoted; what does not print is left out, since
`asymrl` would not find it either.
"""

import shlex
from collections.abc import Iterable

from asymreinforce.report.records import Experiment, ReportedArm
from asymreinforce.report.rollout_sets import rollout_sets

SHORTEST = 6


class Commands:
    """Commands for the arms of one experiment; arms are named as shortly as tells them apart."""

    def __init__(self, experiment: Experiment):
        self._directory = experiment.directory
        self._split = experiment.split
        self._short = shorten_ids([arm.id for arm in experiment.arms])
        self._rollout_sets = rollout_sets(experiment.directory)

    def samples(self, arm: ReportedArm, *, step: int, prompt_id: str | None = None) -> str:
        """Show the graded completions of an arm's evaluation at a step; step 0 is mu."""
        words = ["asymrl", "samples", str(self._directory), "--arm", self._short[arm.id]]
        words += ["--step", str(step)]
        if self._split != "held_out":
            words += ["--split", self._split]
        return shlex.join([*words, *(["--prompt-id", prompt_id] if prompt_id is not None else [])])

    def rollouts(self, arm: ReportedArm) -> str | None:
        """Show the rollouts that an arm learned from, with its rewards and advantages.

        None where it cannot be told which set of several that is.
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
        """Make the page again."""
        return shlex.join(["asymrl", "report", str(self._directory)])


def shorten_ids(names: Iterable[str]) -> dict[str, str]:
    """Cut names to one length at which they still differ."""
    listed = list(names)
    longest = max((len(name) for name in listed), default=SHORTEST)
    for length in range(SHORTEST, longest + 1):
        if len({name[:length] for name in listed}) == len(set(listed)):
            return {name: name[:length] for name in listed}
    return {name: name for name in listed}

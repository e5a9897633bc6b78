"""Read an arm's accuracy on each evaluation prompt, and make intervals for one run from them.

These intervals hold for one trained policy on other prompts. `results.py` has the intervals over
seeds, which hold for another run.

Shapes: P prompts.
"""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from asymreinforce.config import RewardConfig
from asymreinforce.data import contracts
from asymreinforce.data.store import Store
from asymreinforce.report.records import Experiment
from asymreinforce.report.statistics.intervals import (
    Interval,
    bootstrap,
    draws_variance,
    of_a_share,
)
from asymreinforce.rewards.scale import COUNTING
from asymreinforce.rewards.sums import COLUMNS, Sums, read_sums, sums_of

SEED = 0  # a fixed seed, so that the same files give the same page

RESAMPLES = 4_000


class ArmEnds(NamedTuple):
    """The evaluations of an arm's last step and of its behaviour policy."""

    last: Sums
    behaviour: Sums | None

    @property
    def gain_P(self) -> np.ndarray | None:
        """Accuracy minus mu's on each prompt, NaN if not judged; None if the prompts differ."""
        if self.behaviour is None or self.behaviour.prompts != self.last.prompts:
            return None
        gain_P: np.ndarray = self.last.accuracy_P - self.behaviour.accuracy_P
        return gain_P

    @property
    def behaviour_variance(self) -> float | None:
        """Variance of mu's accuracy over draws of its evaluation; None if it was not read."""
        if self.behaviour is None:
            return None
        return draws_variance(self.behaviour.right_P, self.behaviour.kept_P)


class RunIntervals(NamedTuple):
    """Intervals over prompts for one run at its last step; shares of 1."""

    accuracy: Interval
    minus_behaviour: Interval | None


def read_ends(experiment: Experiment) -> dict[str, ArmEnds]:
    """Read the first and the last evaluation of each arm whose last evaluation is on disk.

    Each evaluation is read once, from its receipt if the receipt has the sums. Raises `InputError`
    if an evaluation is damaged, or if no completion in it could be judged.
    """
    directory, split = experiment.directory, experiment.split

    @functools.cache
    def open_stage(place: Path) -> Store | None:
        return Store.open(place) if (place / "plan.json").exists() else None

    @functools.cache
    def sums(path: Path, scale: RewardConfig) -> Sums | None:
        if not path.is_file():
            return None
        if store := open_stage(path.parent):
            return read_sums(store, path.name, scale)
        rows = contracts.read_table(path, contracts.EVALUATIONS, columns=COLUMNS)
        return sums_of(rows, scale, where=str(path))

    ends = {}
    for arm in experiment.arms:
        if not (reported := list(arm.evaluated(split).values())):
            continue
        first, last = (directory / reported[place].evaluation for place in (0, -1))
        # arms that share an evaluation may differ in what counts as correct
        scale = scale_of(arm.settings)
        if at_end := sums(last, scale):
            is_trained = reported[0].step == 0 < reported[-1].step
            ends[arm.id] = ArmEnds(at_end, sums(first, scale) if is_trained else None)
    return ends


def scale_of(settings: Mapping[str, object]) -> RewardConfig:
    """Return the reward settings that decide which completions are correct, else the defaults."""
    # only these settings are taken: a report must not run a user's reward function
    own = {name: settings.get(f"reward.{name}") for name in COUNTING}
    return RewardConfig.model_validate({k: v for k, v in own.items() if v is not None})


def intervals_of_run(ends: ArmEnds) -> RunIntervals:
    """Return the intervals of an arm, by the evaluations of its last step and of mu."""
    judged_P = ends.last.kept_P > 0
    samples = int(ends.last.kept_P.max())
    accuracy = of_a_share(ends.last.accuracy_P[judged_P], samples=samples)
    gain_P = ends.gain_P
    # a prompt that was judged only before or only after training has no gain
    known_P = None if gain_P is None else gain_P[~np.isnan(gain_P)]
    if known_P is None or not len(known_P):
        return RunIntervals(accuracy, None)
    return RunIntervals(accuracy, bootstrap(known_P, seed=SEED, resamples=RESAMPLES))

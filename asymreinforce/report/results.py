"""Compare each group of arms with mu and with a reference group, for the page and the terminal.

The result of an arm is fixed in advance: its accuracy at the last step on the reported split, never
at the best step. Differences are paired over seeds, with a t interval between training runs, and
the p-values of one table are corrected together (Holm). `statistics/` has formulas and sources.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from asymreinforce.errors import InputError
from asymreinforce.report.evaluated import ArmEnds
from asymreinforce.report.groups import ArmGroup, group_label
from asymreinforce.report.records import Experiment, count_fallen
from asymreinforce.report.statistics.comparison import (
    Comparison,
    against_behaviour,
    between_pairs,
)
from asymreinforce.report.statistics.intervals import (
    POWER,
    Interval,
    seeds_needed,
    smallest_difference,
    t_edge,
)

RULE = (
    "This rule was fixed in advance: an arm's result is its accuracy at the last step, never at "
    "its best step, on prompts that were not used to choose any setting."
)
DIFFERENCES = (0.01, 0.02, 0.05, 0.1)
"""Differences, shares of 1, for which the report says how many seeds are needed."""


NO_ENDS: Mapping[str, ArmEnds] = {}


class Result(NamedTuple):
    """A group of arms at the last step; accuracies are shares of 1."""

    group: ArmGroup
    name: str
    accuracy: float | None
    against_behaviour: Comparison | None
    against: Comparison | None
    """None for the reference group, and for a group that shares no seed with it."""
    fates: tuple[tuple[str, int], ...]
    fallen: int
    """The number of arms that fell from their own peak without a collapse."""

    @property
    def is_split(self) -> bool:
        """Tell whether some seeds collapsed and others did not."""
        # no interval is valid for two clusters: seeds of one say nothing about the other
        ended = {fate for fate, _ in self.fates}
        return "collapsed" in ended and len(ended & {"improved", "stable", "collapsed"}) > 1


class GroupResults(NamedTuple):
    """The results of every group, in the order of the figures, and the reference group's name."""

    rows: tuple[Result, ...]
    against: str | None
    power: str | None
    """A sentence on how many seeds a difference needs; None if no spread is known."""


def compare_groups(
    experiment: Experiment,
    groups: Sequence[ArmGroup],
    *,
    against: str | None = None,
    ends: Mapping[str, ArmEnds] = NO_ENDS,
) -> GroupResults:
    """Compare every group with mu, and with the group whose name is `against`.

    By default the reference is the group whose baseline is nearest to 0, of AsymRE if the
    experiment has it, a choice that depends on no outcome. `ends` are the evaluations by arm: if
    they are given and policies or rollouts vary, the intervals hold for other prompts too. Raises
    `InputError` if no evaluated group has that name.
    """
    base = _find_group(groups, against) if against is not None else _default_reference(groups)
    gains = {id_: gain_P for id_, end in ends.items() if (gain_P := end.gain_P) is not None}
    right = {id_: end.last.accuracy_P for id_, end in ends.items()}
    if len({end.last.prompts for end in ends.values()}) > 1:
        right, gains = {}, {}  # crossing runs with prompts needs the same prompts in every run
    # one evaluation of mu is subtracted from every seed: intervals that leave out its noise cover
    # 60 to 84% instead of 95% in simulated sweeps
    noise = {id_: end.behaviour_variance or 0.0 for id_, end in ends.items()}
    to_mu = against_behaviour(groups, gains=gains, noise=noise)
    to_base = _against_base(groups, base, right)
    rows = tuple(
        Result(
            group=group,
            name=group_label(group, groups),
            accuracy=group.accuracy,
            against_behaviour=of_mu,
            against=of_base,
            fates=tuple(Counter(arm.fate for arm in group.arms).most_common()),
            fallen=count_fallen(group.arms, experiment.split),
        )
        for group, of_mu, of_base in zip(groups, to_mu, to_base, strict=True)
    )
    name = group_label(base, groups) if base else None
    return GroupResults(rows, name if len(rows) > 1 else None, _power_sentence(rows, name))


def _against_base(
    groups: Sequence[ArmGroup], base: ArmGroup | None, right: Mapping[str, np.ndarray]
) -> list[Comparison | None]:
    if base is None:
        return [None] * len(groups)
    others = iter(between_pairs([(base, g) for g in groups if g is not base], right=right))
    return [None if group is base else next(others) for group in groups]


def _find_group(groups: Sequence[ArmGroup], name: str) -> ArmGroup:
    # a keyboard has "-0.1" for the label "−0.1", and users leave out the "+"
    wanted = name.strip().replace("−", "-").lstrip("+")
    evaluated = {group_label(group, groups): group for group in groups if group.accuracies}
    for own, group in evaluated.items():
        if own.replace("−", "-").lstrip("+") == wanted:
            return group
    known = ", ".join(list(evaluated)[:20]) or "none"
    raise InputError(f"no evaluated arm is called {name!r}; compare with one of: {known}")


def _default_reference(groups: Sequence[ArmGroup]) -> ArmGroup | None:
    evaluated = [group for group in groups if group.accuracies]
    swept = [group for group in evaluated if group.baseline is not None]

    def distance(group: ArmGroup) -> tuple[bool, bool, float]:
        others = group.algorithm != "asymre", group.baseline_reference != "group_mean"
        return *others, abs(group.baseline or 0.0)

    return min(swept, key=distance, default=next(iter(evaluated), None))


def seed_deviation(interval: Interval) -> float:
    """Return the standard deviation between runs that a t interval over runs implies.

    For an interval that crosses runs with prompts, return the deviation with which an interval over
    runs alone would be as wide.
    """
    half = (interval.high - interval.low) / 2
    return float(half / t_edge(interval.df) * interval.replicates**0.5)


def _power_sentence(rows: Sequence[Result], against: str | None) -> str | None:
    """Say how many seeds a difference needs, by the widest spread among uncollapsed settings."""
    # a collapsed arm ends near 0 in every seed: its small spread says nothing of healthy arms, and
    # a difference to a collapsed setting has the collapsed one's spread
    healthy = {row.name for row in rows if "collapsed" not in dict(row.fates)}
    spreads = []
    for row in rows:
        base, compared = "µ", row.against_behaviour
        if row.against and against in healthy:
            base, compared = str(against), row.against
        if row.name in healthy and compared and compared.interval:
            deviation = seed_deviation(compared.interval)
            spreads.append((deviation, compared.pairs, f"{row.name} against {base}"))
    deviation, seeds, names = max(spreads, key=lambda spread: spread[0], default=(0.0, 0, ""))
    if deviation <= 0:
        return None
    needed = ", ".join(f"{_seeds_text(d, deviation)} for {100 * d:g}" for d in DIFFERENCES)
    least = smallest_difference(deviation=deviation, seeds=seeds)
    return (
        f"Seeds needed to detect a difference, in points, with power {POWER:g}: {needed}. The "
        f"{seeds} seeds of this experiment detect {100 * least:.1f} points or more. Both "
        f"numbers use the widest spread among settings that did not collapse: {names}, with a "
        f"standard deviation of {100 * deviation:.1f} points between seeds."
    )


class Needed(NamedTuple):
    """The number of seeds that a setting needs to show a difference, by its own spread."""

    name: str
    seeds: int
    deviation: float
    """Standard deviation of the difference between seeds, a share of 1."""
    needed: str


def seeds_for(results: GroupResults, *, points: float) -> list[Needed]:
    """Return the seeds that each setting needs to show a difference of `points`, with power 0.8.

    The difference is to the reference group, else to mu. Settings of which some seeds collapsed and
    others did not are left out, since their spread is not normal. Raises `InputError` if no
    setting has two seeds, or if `points` is not above 0.
    """
    if points <= 0:
        raise InputError("--power takes a difference to detect in points, above 0, such as 2")
    rows = []
    for row in results.rows:
        compared = row.against or row.against_behaviour
        if row.is_split or not compared or not compared.interval:
            continue
        deviation = seed_deviation(compared.interval)
        needed = "2" if deviation <= 0 else _seeds_text(points / 100, deviation)
        rows.append(Needed(row.name, compared.pairs, deviation, needed))
    if not rows:
        raise InputError("--power needs a setting with two seeds or more, to estimate the spread")
    return rows


def _seeds_text(difference: float, deviation: float) -> str:
    try:
        return str(seeds_needed(difference=difference, deviation=deviation))
    except InputError:
        return "over 10,000"

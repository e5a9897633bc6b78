"""What came out for each group of arms, and how surely: the numbers of the page and the terminal.

The rule is fixed before looking: accuracy of the last step on the reported split, never the best.
Differences are paired over seeds, with a t interval between training runs, and p-values of one
table are corrected together (Holm). `statistics/` has the formulas and their sources.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from asymreinforce.errors import InputError
from asymreinforce.report.ending import count_fallen
from asymreinforce.report.evaluated import ArmEnds
from asymreinforce.report.groups import ArmGroup, group_label, mean
from asymreinforce.report.records import Experiment
from asymreinforce.report.statistics.comparison import (
    Comparison,
    against_behaviour,
    between_groups,
    share_a_seed,
)
from asymreinforce.report.statistics.intervals import Interval, t_edge
from asymreinforce.report.statistics.power import POWER, seeds_needed, smallest_difference

RULE = (
    "Fixed before looking: an arm's result is its accuracy at the last step, on prompts that chose "
    "nothing, never at its best step."
)
DIFFERENCES = (0.01, 0.02, 0.05, 0.1)
"""Differences, shares of 1, for which the number of seeds is told."""


NO_ENDS: Mapping[str, ArmEnds] = {}


class Result(NamedTuple):
    """A group of arms at the last step; accuracies are shares of 1."""

    group: ArmGroup
    name: str
    accuracy: float | None
    against_behaviour: Comparison | None
    against: Comparison | None
    """None for the group itself that the others are compared with, and where no seed is shared."""
    fates: tuple[tuple[str, int], ...]
    fallen: int
    """How many of its arms fell from their own peak without a collapse."""

    @property
    def is_split(self) -> bool:
        """Tell whether its seeds ended in two heaps, of which no interval speaks."""
        ended = {fate for fate, _ in self.fates}
        return "collapsed" in ended and len(ended & {"improved", "stable", "collapsed"}) > 1


class GroupResults(NamedTuple):
    """Every group, in the order of the figures, and the one that they are compared with."""

    rows: tuple[Result, ...]
    against: str | None
    power: str | None
    """How many seeds a difference needs, in a sentence; None where no spread is known."""


def compare_groups(
    experiment: Experiment,
    groups: Sequence[ArmGroup],
    *,
    against: str | None = None,
    ends: Mapping[str, ArmEnds] = NO_ENDS,
) -> GroupResults:
    """Compare every group with mu, and with the group `against` that its name tells.

    By default that is the group whose baseline is nearest to 0, which no outcome has chosen. `ends`
    are the evaluations by arm: with them, and where policies or rollouts vary, intervals speak of
    other prompts too. Raises `InputError` where no evaluated group has the name.
    """
    base = _find_group(groups, against) if against is not None else _nearest_to_zero(groups)
    gains = {id_: gain_P for id_, end in ends.items() if (gain_P := end.gain_P) is not None}
    right = {id_: end.last.accuracy_P for id_, end in ends.items()}
    if len({end.last.prompts for end in ends.values()}) > 1:
        right, gains = {}, {}  # not the same prompts: there is nothing to cross runs with
    noise = {id_: end.behaviour_variance or 0.0 for id_, end in ends.items()}
    to_mu = {item.arm: item for item in against_behaviour(groups, gains=gains, noise=noise)}
    to_base: dict[str, Comparison] = {}
    if base:
        others = [group for group in groups if group is base or share_a_seed(group, base)]
        # names tell the groups apart among all, so the comparisons are renamed after them
        names = [group_label(group, groups) for group in others if group is not base]
        compared = between_groups(others, against=base, right=right)
        to_base = {
            name: item._replace(arm=name, against=group_label(base, groups))
            for name, item in zip(names, compared, strict=True)
        }
    rows = tuple(
        Result(
            group=group,
            name=(name := group_label(group, groups)),
            accuracy=mean(group.accuracies) if group.accuracies else None,
            against_behaviour=to_mu.get(name),
            against=to_base.get(name),
            fates=tuple(Counter(arm.fate for arm in group.arms).most_common()),
            fallen=count_fallen(group.arms, split=experiment.split),
        )
        for group in groups
    )
    return GroupResults(
        rows, group_label(base, groups) if base and len(rows) > 1 else None, _power_sentence(rows)
    )


def _find_group(groups: Sequence[ArmGroup], name: str) -> ArmGroup:
    wanted = name.strip().replace("−", "-").lstrip("+")
    evaluated = {group_label(group, groups): group for group in groups if group.accuracies}
    for own, group in evaluated.items():
        if own.replace("−", "-").lstrip("+") == wanted:
            return group
    known = ", ".join(list(evaluated)[:20]) or "none"
    raise InputError(f"no evaluated arm is called {name!r}; compare with one of: {known}")


def _nearest_to_zero(groups: Sequence[ArmGroup]) -> ArmGroup | None:
    evaluated = [group for group in groups if group.accuracies]
    swept = [group for group in evaluated if group.baseline is not None]
    return min(
        swept, key=lambda group: abs(group.baseline or 0.0), default=next(iter(evaluated), None)
    )


def seed_deviation(interval: Interval) -> float:
    """Return the standard deviation between the runs under a t interval.

    Of an interval that crosses runs with prompts, the one that as wide an interval over runs alone
    would have.
    """
    edge = t_edge(interval.level, interval.df)
    return float((interval.high - interval.low) / 2 / edge * interval.replicates**0.5)


def _power_sentence(rows: Sequence[Result]) -> str | None:
    """Say how many seeds a difference needs, by the widest spread among arms that did not collapse.

    A collapsed arm ends near 0 in every seed, and its small spread says nothing of healthy ones.
    """
    compared = {row.name: item for row in rows if (item := _healthy_comparison(row, rows))}
    spreads = {
        name: (seed_deviation(item.interval), item) for name, item in compared.items()
        if item.interval
    }  # fmt: skip
    name = max(spreads, key=lambda name: spreads[name][0], default=None)
    if name is None or (deviation := spreads[name][0]) <= 0:
        return None
    item = spreads[name][1]
    needed = ", ".join(f"{_seeds_text(d, deviation)} for {100 * d:g}" for d in DIFFERENCES)
    least = smallest_difference(deviation=deviation, seeds=item.pairs)
    return (
        f"Seeds that a difference needs, in points, with power {POWER:g}: {needed}. These "
        f"{item.pairs} find {100 * least:.1f} or more (the spread of {name} against "
        f"{item.against}, a standard deviation of {100 * deviation:.1f} between seeds, is the "
        "widest among settings that did not collapse)."
    )


def _healthy_comparison(row: Result, rows: Sequence[Result]) -> Comparison | None:
    """Return the comparison with another setting without a collapse, else with mu."""
    healthy = {own.name for own in rows if "collapsed" not in dict(own.fates)}
    if row.name not in healthy:
        return None
    is_usable = row.against is not None and row.against.against in healthy
    return row.against if is_usable else row.against_behaviour


class Needed(NamedTuple):
    """How many seeds of a setting show a difference, by the spread that its own seeds have."""

    name: str
    seeds: int
    deviation: float
    """Standard deviation of the difference between seeds, a share of 1."""
    needed: str


def seeds_for(results: GroupResults, *, points: float) -> list[Needed]:
    """Say how many seeds of each setting a difference of `points` needs, with power 0.8.

    The difference is the one of the table's last column, to mu where there is none. A setting whose
    seeds ended in two heaps has no spread that says so. Raises `InputError` where no setting has
    two seeds, or `points` is not above 0.
    """
    if points <= 0:
        raise InputError("--power takes the points of a difference to be seen, above 0, such as 2")
    rows = []
    for row in results.rows:
        compared = row.against or row.against_behaviour
        if row.is_split or not compared or not compared.interval:
            continue
        deviation = seed_deviation(compared.interval)
        needed = "2" if deviation <= 0 else _seeds_text(points / 100, deviation)
        rows.append(Needed(row.name, compared.pairs, deviation, needed))
    if not rows:
        raise InputError("--power needs a setting with two seeds or more, to know their spread")
    return rows


def _seeds_text(difference: float, deviation: float) -> str:
    try:
        return str(seeds_needed(difference=difference, deviation=deviation))
    except InputError:
        return "over 10,000"

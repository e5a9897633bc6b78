"""An experiment as it is reported, read once for the terminal and for the page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from asymreinforce.report.coverage import Coverage, coverage
from asymreinforce.report.evaluated import Ends, read_ends
from asymreinforce.report.experiment import read_experiment
from asymreinforce.report.groups import Group, group
from asymreinforce.report.pair import Pair, pair
from asymreinforce.report.records import Experiment
from asymreinforce.report.results import Results, results


class Report(NamedTuple):
    """An experiment as it is reported, read once for the terminal and for the page."""

    experiment: Experiment
    groups: Sequence[Group]
    results: Results
    ends: Mapping[str, Ends]
    """The evaluations that the results are made of, by arm."""

    coverage: Coverage | None
    """None where no evaluation is on disk."""


def read_report(directory: Path, *, against: str | None = None) -> Report:
    """Read an experiment directory, and compare its groups with `against` or the default.

    Raises `InputError` where there is nothing to report, a file is damaged, or no group has the
    name.
    """
    experiment = read_experiment(directory)
    groups = group(experiment)
    ends = read_ends(experiment)
    found = results(experiment, groups, against=against, ends=ends)
    return Report(experiment, groups, found, ends, coverage(experiment, groups, ends))


def read_pair(first: Path, second: Path) -> Pair:
    """Read two experiments to compare; raises as `read_report` does."""
    return pair(read_experiment(first), read_experiment(second))

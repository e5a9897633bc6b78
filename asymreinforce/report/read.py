"""Read an experiment once, for the report in the terminal and on the page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from asymreinforce.report.coverage import Coverage, read_coverage
from asymreinforce.report.evaluated import ArmEnds, read_ends
from asymreinforce.report.experiment import read_experiment
from asymreinforce.report.groups import ArmGroup, group_arms
from asymreinforce.report.pair import ExperimentPair, pair_experiments
from asymreinforce.report.records import Experiment
from asymreinforce.report.results import GroupResults, compare_groups
from asymreinforce.report.searches import SearchedMethod, read_searches
from asymreinforce.report.suites import SuiteResults, read_suite_rows, suite_results


class Report(NamedTuple):
    """An experiment with its groups, results, coverage, searches and benchmarks."""

    experiment: Experiment
    groups: Sequence[ArmGroup]
    results: GroupResults
    ends: Mapping[str, ArmEnds]
    """The first and the last evaluation of each arm."""

    coverage: Coverage | None
    """None if no evaluation is on disk."""
    searches: Sequence[SearchedMethod] = ()
    """The methods that `asymrl search` tried."""

    suite_rows: Sequence[Mapping[str, Any]] = ()
    """One row per benchmark, arm and checkpoint."""

    @property
    def suites(self) -> SuiteResults | None:
        """The benchmarks side by side; None if there is only the main evaluation."""
        return suite_results(self.suite_rows, self.groups)


def read_report(directory: Path, *, against: str | None = None) -> Report:
    """Read an experiment directory, and compare its groups with the group `against`.

    Raises `InputError` if there is nothing to report, a file is damaged, or no group is called
    `against`.
    """
    experiment = read_experiment(directory)
    groups = group_arms(experiment)
    ends = read_ends(experiment)
    results = compare_groups(experiment, groups, against=against, ends=ends)
    coverage = read_coverage(experiment, groups, ends)
    searches, suite_rows = read_searches(directory), read_suite_rows(directory)
    return Report(experiment, groups, results, ends, coverage, searches, suite_rows)


def read_pair(first: Path, second: Path) -> ExperimentPair:
    """Read two experiments and compare them; raises as `read_report` does."""
    return pair_experiments(read_experiment(first), read_experiment(second))

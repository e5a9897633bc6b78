"""`asymrl report`: the page of an experiment or of two, or of the theory benches in a directory."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from asymreinforce.analysis.bandit_page import holds_benches, render_benches
from asymreinforce.analysis.compared_page import render_comparison
from asymreinforce.analysis.coverage import Coverage, coverage
from asymreinforce.analysis.curve_panels import Curves, read_curves
from asymreinforce.analysis.evaluated import Ends, read_ends
from asymreinforce.analysis.experiment import read_experiment
from asymreinforce.analysis.figures import draw_all, publish_figures
from asymreinforce.analysis.groups import Group, group
from asymreinforce.analysis.page import render
from asymreinforce.analysis.pair import Pair, pair
from asymreinforce.analysis.records import Experiment
from asymreinforce.analysis.results import Results, results
from asymreinforce.analysis.samples import read_samples, read_samples_of_two
from asymreinforce.data import files


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


def write_report(directory: Path, *, report: Report | None = None) -> Path:
    """Write `report.html` into a directory; return the page.

    An experiment directory gets `figures/*.{svg,png}` as well; a directory of theory benches, such
    as `runs/bandit`, has those beside each bench. The same files give the same bytes. Raises
    `InputError` where there is nothing to report or a file is damaged, and `StorageError` where the
    directory cannot be written.
    """
    if report is None and holds_benches(directory):
        page = render_benches(directory)
    else:
        page = _experiment(report or read_report(directory))
    files.remove_leftovers(directory, below=False)
    path = directory / "report.html"
    files.publish_bytes(path, page.encode())
    return path


def write_comparison(compared: Pair) -> Path:
    """Write the page that compares two experiments, into the directory of the first."""
    first, second = compared.experiments
    curves = read_curves(compared.merged, compared.groups)
    drawings = draw_all(compared.merged, compared.groups, [])
    samples = read_samples_of_two((first, group(first)), (second, group(second)))
    files.remove_leftovers(first.directory, below=False)
    path = first.directory / f"report-and-{second.directory.resolve().name}.html"
    files.publish_bytes(path, render_comparison(compared, drawings, curves, samples).encode())
    return path


def read_pair(first: Path, second: Path) -> Pair:
    """Read two experiments to compare; raises as `read_report` does."""
    return pair(read_experiment(first), read_experiment(second))


def _experiment(report: Report) -> str:
    experiment, groups = report.experiment, report.groups
    curves: list[Curves] = read_curves(experiment, groups)
    drawings = draw_all(experiment, groups, curves, coverage=report.coverage)
    samples = read_samples(experiment, groups)
    page = render(report, drawings=drawings, curves=curves, samples=samples)
    publish_figures(drawings.wide, experiment.directory / "figures")
    return page

"""Write the report page of an experiment, of two experiments, or of the theory benches."""

from pathlib import Path

from asymreinforce.data import files
from asymreinforce.report.bandit.page import holds_benches, render_benches
from asymreinforce.report.figures.curve_panels import Curves, read_curves
from asymreinforce.report.figures.files import draw_all, publish_figures
from asymreinforce.report.groups import group_arms
from asymreinforce.report.page.comparison import render_comparison
from asymreinforce.report.page.experiment import render_experiment
from asymreinforce.report.page.samples import read_samples, read_samples_of_two
from asymreinforce.report.pair import ExperimentPair
from asymreinforce.report.read import Report, read_report
from asymreinforce.report.suites import FILE as SUITES

PAGE = "report.html"


def write_report(directory: Path, *, report: Report | None = None) -> Path:
    """Write `report.html` into a directory, and return its path.

    An experiment directory gets `figures/*.{svg,png}` as well; in a directory of theory benches,
    such as `runs/bandit`, the figures are beside each bench. The same files give the same bytes.
    Raises `InputError` if there is nothing to report or a file is damaged, and `StorageError` if
    the directory cannot be written.
    """
    if report is None and holds_benches(directory):
        page = render_benches(directory)
    else:
        page = _experiment_page(report or read_report(directory))
    # a command that was killed while it wrote leaves a temporary file
    files.remove_leftovers(directory, below=False)
    path = directory / PAGE
    files.publish_bytes(path, page.encode())
    return path


def is_current(directory: Path) -> bool:
    """Tell whether an experiment's page exists and is newer than its results.

    The results are the summary, the curves, the suites and the failures of arms.
    """
    # times suffice: these files are written again only if their contents change
    page = directory / PAGE
    told = [directory / name for name in ("summary.parquet", "curves.parquet")]
    if not all(path.is_file() for path in (page, *told)):
        return False
    made = page.stat().st_mtime_ns
    others = [*(directory / "train").glob("*/failure.json"), *directory.glob(SUITES)]
    return all(path.stat().st_mtime_ns <= made for path in (*told, *others))


def write_comparison(compared: ExperimentPair) -> Path:
    """Write the page that compares two experiments into the first one's directory."""
    first, second = compared.experiments
    curves = read_curves(compared.merged, compared.groups)
    # no curves: the page's script draws them, and no figure files are written
    drawings = draw_all(compared.merged, compared.groups, [])
    samples = read_samples_of_two((first, group_arms(first)), (second, group_arms(second)))
    files.remove_leftovers(first.directory, below=False)
    path = first.directory / f"report-and-{second.directory.resolve().name}.html"
    files.publish_bytes(path, render_comparison(compared, drawings, curves, samples).encode())
    return path


def _experiment_page(report: Report) -> str:
    experiment, groups = report.experiment, report.groups
    curves: list[Curves] = read_curves(experiment, groups)
    drawings = draw_all(experiment, groups, curves, coverage=report.coverage)
    samples = read_samples(experiment, groups)
    page = render_experiment(report, drawings=drawings, curves=curves, samples=samples)
    publish_figures(drawings.wide, experiment.directory / "figures")
    return page

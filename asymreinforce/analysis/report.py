"""`asymrl report`: the page of an experiment, or of the theory benches in a directory."""

from pathlib import Path

from asymreinforce.analysis.bandit_page import holds_benches, render_benches
from asymreinforce.analysis.experiment import read_experiment
from asymreinforce.analysis.figures import draw_all, publish_figures
from asymreinforce.analysis.groups import group
from asymreinforce.analysis.page import render
from asymreinforce.analysis.samples import read_samples
from asymreinforce.data import files


def write_report(directory: Path) -> Path:
    """Write `report.html` into a directory; return the page.

    An experiment directory gets `figures/*.{svg,png}` as well; a directory of theory benches, such
    as `runs/bandit`, has those beside each bench. The same files give the same bytes. Raises
    `InputError` where there is nothing to report or a file is damaged, and `StorageError` where the
    directory cannot be written.
    """
    page = render_benches(directory) if holds_benches(directory) else _experiment(directory)
    path = directory / "report.html"
    files.publish_bytes(path, page.encode())
    return path


def _experiment(directory: Path) -> str:
    experiment = read_experiment(directory)
    groups = group(experiment)
    samples = read_samples(experiment, groups)
    drawings = draw_all(experiment, groups)
    page = render(experiment, groups, drawings, samples)
    publish_figures(drawings, directory / "figures")
    return page

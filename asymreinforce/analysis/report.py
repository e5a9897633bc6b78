"""`asymrl report`: tables and figures of what is in an experiment directory."""

from pathlib import Path

from asymreinforce.analysis.experiment import read_experiment
from asymreinforce.analysis.figures import draw_all, publish_figures
from asymreinforce.analysis.groups import group
from asymreinforce.analysis.page import render
from asymreinforce.analysis.samples import read_samples
from asymreinforce.data import files


def write_report(directory: Path) -> Path:
    """Write `report.html` and `figures/*.{svg,png}` into an experiment directory; return the page.

    The same files give the same bytes. Raises `InputError` where there is no trained arm or a file
    is damaged, and `StorageError` where the directory cannot be written.
    """
    experiment = read_experiment(directory)
    groups = group(experiment)
    samples = read_samples(experiment, groups)
    drawings = draw_all(experiment, groups)
    page = render(experiment, groups, drawings, samples)
    publish_figures(drawings, directory / "figures")
    path = directory / "report.html"
    files.publish_bytes(path, page.encode())
    return path

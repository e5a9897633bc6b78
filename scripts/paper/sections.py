"""Make the section of each figure: its counterpart, from the run directories that exist."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from asymreinforce.errors import InputError
from asymreinforce.report.bandit import words as bandit_words
from asymreinforce.report.bandit.bench import Bench, read_bench
from asymreinforce.report.bandit.figures import RC as BENCH_RC
from asymreinforce.report.bandit.page import find_benches
from asymreinforce.report.bandit.words import Finding
from asymreinforce.report.experiment import read_experiment
from asymreinforce.report.figures.canvas import Drawing
from asymreinforce.report.groups import ArmGroup, group_arms
from asymreinforce.report.records import Experiment
from asymreinforce.report.setting import describe_experiment
from scripts.paper.diagrams.axes import AXES, REFRESH
from scripts.paper.diagrams.cells import Diagram, gather_diagram
from scripts.paper.diagrams.maps import draw_diagram
from scripts.paper.diagrams.words import diagram_findings
from scripts.paper.figures import FIGURES, OfBench, OfSweep, PaperFigure
from scripts.paper.prediction import prediction_findings
from scripts.paper.prediction_figures import (
    WayOutcome,
    behaviour_worked,
    draw_ways,
    read_outcomes,
)

WAYS = "ways.parquet"
"""The file that `measure_ways` writes into an experiment directory."""

FACTS = ("Arms", "Task", "Behaviour policy µ", "Rollouts", "Optimizer", "Evaluation")
"""Lines of an experiment's setting to show beside the paper's."""


class Runs(NamedTuple):
    """The contents of the run directories; a missing part is None."""

    sweep: Experiment | None
    benches: Mapping[str, Bench]
    bench_settings: Mapping[str, str]
    refresh: Experiment | None
    diagrams: Experiment | None
    outcomes: Sequence[WayOutcome]
    """The prediction of Theorem 4.2 for each arm of the sweep, and the outcome."""
    worked: Mapping[str, float]
    """The share of mu's answers that were worked, by arm of the diagrams."""


class Section(NamedTuple):
    """The counterpart of a figure; without drawings, its data is missing."""

    figure: PaperFigure
    ours: str
    drawings: tuple[Drawing, ...]
    findings: tuple[Finding, ...]


class DiagramSection(NamedTuple):
    """A phase diagram; the paper has none."""

    diagram: Diagram
    ours: str
    drawing: Drawing
    findings: tuple[Finding, ...]


class Prediction(NamedTuple):
    """The prediction of Theorem 4.2 beside the outcome; without drawings, its data is missing."""

    drawings: tuple[Drawing, ...]
    findings: tuple[Finding, ...]


class Drawn(NamedTuple):
    """All drawings, made once for the page and for the docs."""

    sections: tuple[Section, ...]
    diagrams: tuple[DiagramSection, ...]
    prediction: Prediction

    @property
    def of_sections(self) -> list[Drawing]:
        """Return the counterparts of figures, and the phase diagrams."""
        return [
            *(drawing for section in self.sections for drawing in section.drawings),
            *(section.drawing for section in self.diagrams),
        ]

    @property
    def drawings(self) -> list[Drawing]:
        """Return all drawings in the order of the page."""
        return [*self.of_sections, *self.prediction.drawings]


def read_runs(*, sweep: Path, bandit: Path, refresh: Path, diagrams: Path) -> Runs:
    """Read the run directories that exist.

    Raises `InputError` if a file in one of them is damaged.
    """
    stores = find_benches(bandit)
    return Runs(
        sweep=_read_if_there(sweep),
        benches={name: read_bench(store.directory) for name, store in stores.items()},
        bench_settings={
            name: bandit_words.describe_bench(store.identity["settings"])
            for name, store in stores.items()
        },
        refresh=_read_if_there(refresh),
        diagrams=_read_if_there(diagrams),
        outcomes=read_outcomes(path) if (path := sweep / WAYS).is_file() else (),
        worked=behaviour_worked(path) if (path := diagrams / WAYS).is_file() else {},
    )


def draw_everything(runs: Runs) -> Drawn:
    """Draw the counterpart of each figure, in the paper's order, and each phase diagram.

    Raises `InputError` if there is nothing to draw.
    """
    groups = group_arms(runs.sweep) if runs.sweep else ()
    drawn = Drawn(
        tuple(_make_section(figure, runs, groups) for figure in FIGURES),
        tuple(_draw_diagrams(runs)),
        _draw_prediction(runs),
    )
    if not drawn.drawings:
        raise InputError(
            "no run to draw a figure from; 'make figures' runs what the figures are made of"
        )
    return drawn


def _draw_diagrams(runs: Runs) -> list[DiagramSection]:
    sections = []
    for axis in AXES:
        experiment = runs.refresh if axis is REFRESH else runs.diagrams
        if experiment and (cells := gather_diagram(experiment, axis, worked=runs.worked)):
            ours = _setting_words(cells.experiment, group_arms(cells.experiment))
            drawing, words = draw_diagram(cells), tuple(diagram_findings(cells))
            sections.append(DiagramSection(cells, ours, drawing, words))
    return sections


def _draw_prediction(runs: Runs) -> Prediction:
    if not runs.outcomes:
        return Prediction((), ())
    share, _ = draw_ways(runs.outcomes)
    return Prediction((share,), tuple(prediction_findings(runs.outcomes)))


def _make_section(figure: PaperFigure, runs: Runs, groups: Sequence[ArmGroup]) -> Section:
    made_of = figure.made_of
    if isinstance(made_of, OfSweep):
        if runs.sweep is None:
            return Section(figure, "", (), ())
        drawn = made_of.draw(runs.sweep, groups)
        findings = made_of.findings(runs.sweep, groups)
        return _name_drawings(
            Section(figure, _setting_words(runs.sweep, groups), tuple(drawn), tuple(findings))
        )
    if made_of.experiment not in runs.benches:
        return Section(figure, "", (), ())
    bench = runs.benches[made_of.experiment]
    drawn, findings = _of_bench(made_of, bench)
    ours = runs.bench_settings[made_of.experiment]
    return _name_drawings(Section(figure, ours, tuple(drawn), tuple(findings)))


def _of_bench(made_of: OfBench, bench: Bench) -> tuple[list[Drawing], list[Finding]]:
    import matplotlib

    with matplotlib.rc_context(BENCH_RC):
        drawn = [draw(bench) for draw in made_of.draw]
    return drawn, [finding for say in made_of.findings for finding in say(bench)]


def _name_drawings(section: Section) -> Section:
    """Name the drawings after the figure: `figure-1`, or `figure-1-1` and `figure-1-2`."""
    name, count = section.figure.name, len(section.drawings)
    names = [name] if count == 1 else [f"{name}-{i}" for i in range(1, count + 1)]
    drawings = tuple(
        drawing._replace(name=own) for drawing, own in zip(section.drawings, names, strict=True)
    )
    return section._replace(drawings=drawings)


def _read_if_there(directory: Path) -> Experiment | None:
    return read_experiment(directory) if (directory / "train").is_dir() else None


def _setting_words(experiment: Experiment, groups: Sequence[ArmGroup]) -> str:
    facts = {fact.name: fact.words for fact in describe_experiment(experiment, groups)}
    # the words about arms begin with their number and need no title
    told = [facts[n] if n == "Arms" else f"{n}: {facts[n]}" for n in FACTS if n in facts]
    return "; ".join(told) + "."

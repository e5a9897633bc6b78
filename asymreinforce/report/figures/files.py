"""Draw every figure of an experiment once, for files and as inline SVG for a page."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from asymreinforce.data import files
from asymreinforce.report.coverage import Coverage
from asymreinforce.report.figures import canvas
from asymreinforce.report.figures.canvas import Drawing
from asymreinforce.report.figures.colours import PALETTE, Colour, group_styles
from asymreinforce.report.figures.coverage import coverage_figure
from asymreinforce.report.figures.curve_panels import Curves, draw_panel
from asymreinforce.report.figures.phase_transition import phase_transition
from asymreinforce.report.groups import ArmGroup
from asymreinforce.report.records import Experiment

ID = re.compile(r'(\bid="|xlink:href="#|url\(#)')
PROLOGUE = re.compile(r"^.*?(?=<svg)", re.DOTALL)
COLOUR = re.compile(r"#[0-9a-f]{6}\b")
NAMESPACE = re.compile(r' xmlns(:xlink)?="[^"]*"')


class Drawn(NamedTuple):
    """The figures of an experiment; `narrow` figures are only for a page on a small screen."""

    wide: tuple[Drawing, ...]
    narrow: tuple[Drawing, ...]


def draw_all(
    experiment: Experiment,
    groups: Sequence[ArmGroup],
    curves: Sequence[Curves],
    *,
    coverage: Coverage | None = None,
) -> Drawn:
    """Draw the phase transition and the coverage, if there are data for them, and the curves.

    The page of two experiments passes no curves: its script draws them, and no files are written.
    """
    import matplotlib

    of_groups = group_styles(groups)
    with matplotlib.rc_context(canvas.RC):
        wide, narrow = (
            [
                phase_transition(experiment, groups, of_groups, narrow=is_narrow),
                coverage_figure(coverage, groups, of_groups, narrow=is_narrow),
            ]
            for is_narrow in (False, True)
        )
        drawn = [draw_panel(panel, experiment, groups, of_groups) for panel in curves]
        return Drawn(
            (*(drawing for drawing in wide if drawing), *drawn),
            tuple(drawing for drawing in narrow if drawing),
        )


def publish_figures(drawings: Sequence[Drawing], directory: Path) -> None:
    """Write each figure as `<name>.svg` and `<name>.png` into a directory."""
    files.remove_leftovers(files.make_directory(directory))
    for drawing in drawings:
        files.publish_bytes(directory / f"{drawing.name}.svg", drawing.svg)
        files.publish_bytes(directory / f"{drawing.name}.png", drawing.png)


def inline_svg(drawing: Drawing, *, variant: str = "") -> str:
    """Return a figure as an SVG element for a page, with unique ids and colours as CSS variables.

    If a page shows two variants of a figure, `variant` names the class and enters the ids.
    """
    text = PROLOGUE.sub("", drawing.svg.decode())
    # the page is free of addresses, even those of namespaces, which HTML does not need
    text = NAMESPACE.sub("", text)
    # ids must be unique on a page with several figures
    text = ID.sub(lambda match: f"{match.group(1)}{drawing.name}{variant}-", text)
    text = text.replace("xlink:href", "href")
    text = COLOUR.sub(lambda match: VARIABLES.get(match.group(), match.group()), text)
    opening, rest = text.split(">", 1)
    # the page's style sets the size
    opening = re.sub(r' (width|height)="[^"]*"', "", opening)
    opening += f' class="{variant}"' if variant else ""
    return f'{opening} role="img" aria-labelledby="title-{drawing.name}">{rest}'


def css_variable(colour: Colour) -> str:
    """Return the name of a colour's CSS variable."""
    return f"c-{colour.light.removeprefix('#')}"


def css_variables(markup: str) -> str:
    """Define the CSS variables that a page's markup uses, for the light and the dark theme."""
    used = [colour for colour in PALETTE if f"--{css_variable(colour)}" in markup]
    light = ";".join(f"--{css_variable(colour)}:{colour.light}" for colour in used)
    dark = ";".join(f"--{css_variable(colour)}:{colour.dark}" for colour in used)
    return f":root{{{light}}}\n@media (prefers-color-scheme: dark){{:root{{{dark}}}}}"


VARIABLES = {colour.light: f"var(--{css_variable(colour)})" for colour in PALETTE}

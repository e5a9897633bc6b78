"""Every figure of an experiment, drawn once: as files, and as SVG that a page can hold."""

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
    """The figures of an experiment; the narrow ones are for a page on a small screen alone."""

    wide: tuple[Drawing, ...]
    narrow: tuple[Drawing, ...]


def draw_all(
    experiment: Experiment,
    groups: Sequence[ArmGroup],
    curves: Sequence[Curves],
    *,
    coverage: Coverage | None = None,
) -> Drawn:
    """Draw the phase transition and the coverage, where there are such, and the curves.

    A page that draws its own curves, and publishes no figures, passes none.
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
    """Publish each figure as `<name>.svg` and `<name>.png`."""
    files.remove_leftovers(files.make_directory(directory))
    for drawing in drawings:
        files.publish_bytes(directory / f"{drawing.name}.svg", drawing.svg)
        files.publish_bytes(directory / f"{drawing.name}.png", drawing.png)


def inline_svg(drawing: Drawing, *, variant: str = "") -> str:
    """Return a figure as an element of a page: ids of its own, colours as variables, no address.

    Of two variants of a figure on one page, each has a name, which its ids and its class take on.
    """
    text = PROLOGUE.sub("", drawing.svg.decode())
    text = NAMESPACE.sub("", text)
    text = ID.sub(lambda match: f"{match.group(1)}{drawing.name}{variant}-", text)
    text = text.replace("xlink:href", "href")
    text = COLOUR.sub(lambda match: VARIABLES.get(match.group(), match.group()), text)
    opening, rest = text.split(">", 1)
    opening = re.sub(r' (width|height)="[^"]*"', "", opening)
    opening += f' class="{variant}"' if variant else ""
    return f'{opening} role="img" aria-labelledby="title-{drawing.name}">{rest}'


def css_variable(colour: Colour) -> str:
    """Name the CSS variable of a colour."""
    return f"c-{colour.light.removeprefix('#')}"


def css_variables(markup: str) -> str:
    """Return the CSS variables that a page's markup asks for, in the light and the dark theme."""
    used = [colour for colour in PALETTE if f"--{css_variable(colour)}" in markup]
    light = ";".join(f"--{css_variable(colour)}:{colour.light}" for colour in used)
    dark = ";".join(f"--{css_variable(colour)}:{colour.dark}" for colour in used)
    return f":root{{{light}}}\n@media (prefers-color-scheme: dark){{:root{{{dark}}}}}"


VARIABLES = {colour.light: f"var(--{css_variable(colour)})" for colour in PALETTE}

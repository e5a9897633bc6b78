"""The page of all figures, and each figure as a file beside it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asymreinforce.analysis.bandit_page import MARKS, framed, typeset
from asymreinforce.analysis.canvas import Drawing
from asymreinforce.analysis.diagrams.axes import AXES
from asymreinforce.analysis.figures import publish_figures
from asymreinforce.analysis.html import fill
from asymreinforce.analysis.paper.sections import (
    DiagramSection,
    Runs,
    Section,
    diagram_sections,
    sections,
)
from asymreinforce.data import files
from asymreinforce.errors import InputError

PAGE = "index.html"


def write_page(runs: Runs, directory: Path) -> Path:
    """Write `index.html` and each figure as `<name>.svg` and `.png` into a directory.

    What was not run yet is named with its command. The same runs give the same bytes. Raises
    `InputError` where nothing was run, and `StorageError` where the directory cannot be written.
    """
    found, beyond = sections(runs), diagram_sections(runs)
    drawings = drawings_of(found, beyond)
    if not drawings:
        raise InputError(
            "no run to draw a figure from; 'make figures' runs what the figures are made of"
        )
    publish_figures(drawings, directory)
    path = directory / PAGE
    files.publish_bytes(path, _render(found, beyond).encode())
    return path


def drawings_of(found: Sequence[Section], beyond: Sequence[DiagramSection]) -> list[Drawing]:
    """Return every drawing, in the order of the page."""
    return [
        *(drawing for section in found for drawing in section.drawings),
        *(section.drawing for section in beyond),
    ]


def _render(found: Sequence[Section], beyond: Sequence[DiagramSection]) -> str:
    drawn = {section.diagram.axis.name for section in beyond}
    framed_sections: list[dict[str, Any]] = [
        section._asdict() | {"drawings": [framed(drawing) for drawing in section.drawings]}
        for section in found
    ]
    return fill(
        "paper.html.jinja",
        sections=framed_sections,
        diagrams=[section._asdict() | {"drawing": framed(section.drawing)} for section in beyond],
        missing=[axis for axis in AXES if axis.name not in drawn],
        marks=MARKS,
        typeset=typeset,
    )

"""Write the page of all figures, and each figure as a file beside it."""

from pathlib import Path
from typing import Any

from asymreinforce.data import files
from asymreinforce.report.bandit.page import MARKS, frame_drawing, typeset
from asymreinforce.report.figures.files import publish_figures
from asymreinforce.report.page.html import fill_template
from scripts.paper.diagrams.axes import AXES
from scripts.paper.sections import Drawn

PAGE = "index.html"


def write_page(drawn: Drawn, directory: Path) -> Path:
    """Write `index.html` and each figure as `<name>.svg` and `.png` into a directory.

    The page names missing runs with their commands. The same runs give the same bytes. Raises
    `StorageError` if the directory cannot be written.
    """
    publish_figures(drawn.drawings, directory)
    path = directory / PAGE
    files.publish_bytes(path, _render_page(drawn).encode())
    return path


def _render_page(drawn: Drawn) -> str:
    there = {section.diagram.axis.name for section in drawn.diagrams}
    sections: list[dict[str, Any]] = [
        section._asdict() | {"drawings": [frame_drawing(drawing) for drawing in section.drawings]}
        for section in drawn.sections
    ]
    return fill_template(
        Path(__file__).with_name("paper.html.jinja"),
        sections=sections,
        diagrams=[
            section._asdict() | {"drawing": frame_drawing(section.drawing)}
            for section in drawn.diagrams
        ],
        prediction={
            "findings": drawn.prediction.findings,
            "drawings": [frame_drawing(drawing) for drawing in drawn.prediction.drawings],
        },
        missing=[axis for axis in AXES if axis.name not in there],
        marks=MARKS,
        typeset=typeset,
    )

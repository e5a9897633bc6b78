"""Write the figures' texts as Markdown into marked blocks of the pages in docs/.

The text outside the marks is written by hand and not changed.
"""

from collections.abc import Sequence
from pathlib import Path

from asymreinforce.data import files
from asymreinforce.errors import InputError
from asymreinforce.report.bandit.page import MARKS
from asymreinforce.report.bandit.words import Finding
from asymreinforce.report.figures.canvas import Drawing
from scripts.paper.diagrams.words import diagram_table
from scripts.paper.sections import DiagramSection, Drawn, Section

BEGIN, END = "<!-- made of data: begin -->", "<!-- made of data: end -->"
FIGURE_PAGE, DIAGRAM_PAGE, FIGURES = "paper-figures.md", "phase-diagrams.md", "figures"
PAGES = "results"


def write_docs(drawn: Drawn, directory: Path) -> None:
    """Fill the marked blocks of both pages in `results/`, and write their SVGs to `figures/`.

    Raises `InputError` if a page or its marks are missing.
    """
    pages = {
        directory / PAGES / FIGURE_PAGE: "\n".join(map(_section_text, drawn.sections)),
        directory / PAGES / DIAGRAM_PAGE: "\n".join(
            [*map(_diagram_text, drawn.diagrams), *_prediction_lines(drawn)]
        ),
    }
    filled = {path: _fill_block(path, block) for path, block in pages.items()}
    place = files.make_directory(directory / FIGURES)
    for written in (directory / PAGES, place):
        files.remove_leftovers(written, below=False)
    for path, text in filled.items():
        files.publish_bytes(path, text.encode())
    for drawing in drawn.of_sections:
        files.publish_bytes(place / f"{drawing.name}.svg", drawing.svg)


def _fill_block(path: Path, block: str) -> str:
    """Return a page with a new block between its marks."""
    if not path.is_file():
        raise InputError(f"{path}: no such page; write one with the lines {BEGIN!r} and {END!r}")
    before, begin, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise InputError(f"{path}: has no lines {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n\n{block}\n{END}{after}"


def _section_text(section: Section) -> str:
    figure = section.figure
    lines = [
        f"## Fig. {figure.number}: {figure.title}",
        "",
        f"- The paper's setting: {figure.paper}",
        f"- What the paper sees: {figure.says}",
    ]
    if not section.drawings:
        return "\n".join([*lines, f"- Not made yet: `{figure.command}`", ""])
    lines += [f"- Here: {section.ours}", f"- Command: `{figure.command}`", ""]
    for drawing in section.drawings:
        lines += [_image_link(drawing), ""]
    return "\n".join([*lines, *_finding_lines(section.findings), ""])


def _diagram_text(section: DiagramSection) -> str:
    titles, *rows = diagram_table(section.diagram)
    return "\n".join(
        [
            f"## {section.diagram.axis.title}",
            "",
            f"    {section.diagram.axis.command}",
            "",
            f"{section.ours}",
            "",
            _image_link(section.drawing),
            "",
            _table_row(titles),
            _table_row(["---"] * len(titles)),
            *(_table_row(row) for row in rows),
            "",
            *(f"- {finding.text}" for finding in section.findings),
            "",
        ]
    )


def _prediction_lines(drawn: Drawn) -> list[str]:
    """Return the sentences on the prediction; another page has its figure."""
    sentences = [f"- {finding.text}" for finding in drawn.prediction.findings]
    title = "## Theorem 4.2 on ways of answering ([prediction.md](prediction.md))"
    return [title, "", *sentences, ""] if sentences else []


def _image_link(drawing: Drawing) -> str:
    return f"![{drawing.title}](../{FIGURES}/{drawing.name}.svg)"


def _finding_lines(findings: Sequence[Finding]) -> list[str]:
    return [
        f"- {MARKS[finding.verdict][1]} {finding.verdict}: {finding.text}" for finding in findings
    ]


def _table_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"

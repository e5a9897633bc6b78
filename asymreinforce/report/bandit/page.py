"""Build the page of the theory benches, with one section per preset on disk."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asymreinforce.bandit.contracts import TABLES
from asymreinforce.data.store import Store
from asymreinforce.errors import InputError
from asymreinforce.report.bandit.bench import Bench, read_bench
from asymreinforce.report.bandit.figures import draw_bench
from asymreinforce.report.bandit.findings import bench_findings
from asymreinforce.report.bandit.table import near_table, what_it_shows
from asymreinforce.report.bandit.words import (
    AGREES,
    BEYOND,
    DIFFERS,
    QUESTIONS,
    TITLES,
    describe_bench,
)
from asymreinforce.report.figures.canvas import Drawing
from asymreinforce.report.figures.files import inline_svg
from asymreinforce.report.page.cells import setting_rows
from asymreinforce.report.page.html import fill_template
from asymreinforce.untrusted import visible

MARKS = {AGREES: ("right", "✓"), DIFFERS: ("wrong", "≠"), BEYOND: ("beyond", "+")}
"""The CSS class and the sign of each verdict."""

OF_THE_PAPER = ("section_5_1", "policy_improvement")
SYMBOLS = (("V^µ", "V<sup>µ</sup>"), ("V₀,µ", "V<sub>0,µ</sub>"))
PIXELS_PER_POINT = 4 / 3
VIEW_BOX = re.compile(r'viewBox="0 0 ([\d.]+)')


def find_benches(directory: Path) -> dict[str, Store]:
    """Return the newest finished bench of each preset in a directory, or up to two levels below.

    The newest bench is the one that was run last. Benches with other versions of the tables are
    ignored. Raises `InputError` if a plan is damaged.
    """
    labels = [contract.label for contract in TABLES.values()]
    finished = [
        store
        for path in _table_paths(directory)
        if (store := Store.open(path.parent)).identity.get("contracts") == labels
        and path.with_name("manifest.json").exists()
    ]
    newest = {s.identity["settings"]["experiment"]: s for s in sorted(finished, key=_time_of_run)}
    return {name: newest[name] for name in TITLES if name in newest}


def _time_of_run(store: Store) -> tuple[float, str]:
    # every run draws its figures again, even if all tables were complete
    places = (store.directory / name for name in ("manifest.json", "figures"))
    return max(place.stat().st_mtime for place in places if place.exists()), store.hash


def holds_benches(directory: Path) -> bool:
    """Tell whether a directory holds theory benches, finished or not."""
    return bool(_table_paths(directory))


def render_benches(directory: Path) -> str:
    """Return the page of the benches in a directory as HTML.

    Raises `InputError` if no bench is finished, or if a finished bench has a damaged table.
    """
    benches = find_benches(directory)
    if not benches:
        raise InputError(
            f"{directory}: holds no finished theory bench; run 'asymrl bandit' to the end first"
        )
    sections = [_make_section(store, directory) for store in benches.values()]
    return fill_template(
        "bandit.html.jinja",
        sections=sections,
        marks=MARKS,
        typeset=typeset,
        missing=[name for name in TITLES if name not in benches],
    )


def typeset(text: str) -> Any:
    """Return a text as escaped markup, with V^µ and V₀,µ set with HTML elements."""
    from markupsafe import Markup, escape

    markup = str(escape(visible(text)))
    for plain, element in SYMBOLS:
        markup = markup.replace(plain, element)
    return Markup(markup)


def _table_paths(directory: Path) -> list[Path]:
    return [
        path
        for depth in ("", "*/", "*/*/")
        for path in sorted(directory.glob(f"{depth}chains.parquet"))
        if path.with_name("plan.json").exists()
    ]


def _make_section(store: Store, directory: Path) -> dict[str, Any]:
    """Return the content of the page for one preset."""
    for name in TABLES:
        store.path(name)  # raises if the bytes differ from those that were published
    settings: Mapping[str, Any] = store.identity["settings"]
    experiment = settings["experiment"]
    bench = read_bench(store.directory)
    table = near_table(bench, experiment)
    return {
        "experiment": experiment,
        "title": TITLES[experiment],
        "question": QUESTIONS[experiment],
        "setting": describe_bench(settings),
        "findings": bench_findings(bench, experiment),
        "figures": [frame_drawing(drawing) for drawing in draw_bench(bench, experiment)],
        "table": table._replace(columns=tuple(map(typeset, table.columns))),
        "table_note": what_it_shows(bench, experiment),
        "draw_note": _draw_note(bench, settings),
        "settings": setting_rows(settings),
        "place": str(store.directory.relative_to(directory)),
    }


def frame_drawing(drawing: Drawing) -> dict[str, Any]:
    """Return a drawing for a page, with the least and the largest readable width in pixels."""
    from markupsafe import Markup

    view_box = VIEW_BOX.search(drawing.svg.decode())
    points = float(view_box.group(1)) if view_box else 0.0
    # one pixel per point gives text of 9.5 pixels, the smallest that is easy to read
    widths = {"least": round(points), "most": round(points * PIXELS_PER_POINT)}
    return drawing._asdict() | {"svg": Markup(inline_svg(drawing))} | widths


def _draw_note(bench: Bench, settings: Mapping[str, Any]) -> str:
    first = bench.near.chains[0]
    facts = (
        f"Seed {bench.near_seed}: V^µ = {first['behaviour_reward']:.5f}, V₀,µ = "
        f"{first['critical_value']:.5f}, best arm {first['best_reward']:.4f}."
    )
    is_near = bench.near_seed == 43 and settings["arms"] == 100 and settings["rewards"] is None
    if not is_near or settings["experiment"] not in OF_THE_PAPER:
        return facts
    return (
        f"{facts} The paper has V^µ about 0.5405 and a best arm of 0.999: this draw is near the "
        "paper's, but may be another one."
    )

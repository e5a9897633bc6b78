"""Draw the counterpart of each figure of the paper, and the phase diagrams, from finished runs.

    .venv/bin/python -m scripts.paper.draw                # runs/paper/index.html and its figures
    .venv/bin/python -m scripts.paper.draw --docs docs    # and the pages of docs/ about them

Reads `cups` (make results), `bandit` (asymrl bandit), `refresh` (make refresh) and `phase-diagrams`
(make phase-diagrams) below a directory of runs. The page names missing runs with their commands.
"""

import argparse
import sys
from pathlib import Path

from asymreinforce.errors import AsymreinforceError
from scripts.paper.markdown import write_docs
from scripts.paper.page import write_page
from scripts.paper.sections import WAYS, draw_everything, read_runs


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where the runs lie")
    for name, words in (
        ("sweep", "the sweep over baselines, RUNS/cups by default"),
        ("bandit", "theory benches, RUNS/bandit"),
        ("refresh", "the sweep over refresh intervals, RUNS/refresh"),
        ("diagrams", "the sweeps of the phase diagrams, RUNS/phase-diagrams"),
        ("out", "where page and figures go, RUNS/paper"),
        ("docs", "a directory with results/paper-figures.md and phase-diagrams.md to fill"),
    ):
        parser.add_argument(f"--{name}", type=Path, help=words)
    parser.add_argument(
        "--no-ways", dest="measure_ways", action="store_false",
        help="leave run directories as they are: no ways.parquet is written into them",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    try:
        sweep = options.sweep or options.runs / "cups"
        diagrams = options.diagrams or options.runs / "phase-diagrams"
        if options.measure_ways:
            for directory in (sweep, diagrams):
                bring_ways(directory)
        runs = read_runs(
            sweep=sweep,
            bandit=options.bandit or options.runs / "bandit",
            refresh=options.refresh or options.runs / "refresh",
            diagrams=diagrams,
        )
        drawn = draw_everything(runs)
        print(f"figures: {write_page(drawn, options.out or options.runs / 'paper')}")
        if options.docs:
            write_docs(drawn, options.docs)
    except AsymreinforceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def bring_ways(directory: Path) -> None:
    """Measure the answer styles of a finished sweep, unless its results are up to date."""
    summary, ways = directory / "summary.parquet", directory / WAYS
    if not summary.is_file():
        return
    if not ways.is_file() or ways.stat().st_mtime < summary.stat().st_mtime:
        from scripts.paper.outcome import measure_ways

        measure_ways(directory)


if __name__ == "__main__":
    sys.exit(main())

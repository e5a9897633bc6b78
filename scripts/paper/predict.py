"""Compare Theorem 4.2 with a finished sweep: predicted and reached shares of worked answers.

    .venv/bin/python -m scripts.paper.predict runs/cups

Publishes `ways.parquet` and `figures/ways-*.{svg,png}` in the experiment directory, and prints the
table of docs/results/prediction.md.
"""

import sys
from pathlib import Path

from asymreinforce.report.figures.files import publish_figures
from scripts.paper.outcome import WAYS_PARQUET, measure_ways
from scripts.paper.prediction_figures import WayOutcome, draw_ways, read_outcomes


def main(directories: list[str]) -> None:
    for directory in map(Path, directories):
        measure_ways(directory)
        outcomes = read_outcomes(directory / WAYS_PARQUET)
        publish_figures(draw_ways(outcomes), directory / "figures")
        print(outcome_table(directory.name, outcomes))


def outcome_table(name: str, outcomes: list[WayOutcome]) -> str:
    first = outcomes[0]
    lines = [
        f"{name}: mu works {100 * first.behaviour_worked:.1f}% of its answers, "
        f"accuracy {100 * first.behaviour_accuracy:.1f}% (rollouts)",
        "",
        "| baseline | worked: predicted | reached, a seed each | accuracy: predicted | reached |",
        "| --- | --- | --- | --- | --- |",
    ]
    for baseline in dict.fromkeys(arm.baseline for arm in outcomes):
        own = [arm for arm in outcomes if arm.baseline == baseline]
        cells = (
            f"{baseline:+g}", percent_text(own[0].predicted_worked),
            " ".join(percent_text(arm.worked) for arm in own),
            percent_text(own[0].predicted_accuracy),
            " ".join(percent_text(arm.accuracy) for arm in own),
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def percent_text(share: float | None) -> str:
    return "open" if share is None else f"{100 * share:.1f}"


if __name__ == "__main__":
    main(sys.argv[1:])

"""`asymrl report`: results with intervals, and the page."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    directory: Annotated[
        Path, typer.Argument(help="An experiment directory.", show_default=True)
    ] = Path("runs/cups"),
    other: Annotated[
        Path | None, typer.Argument(help="Another, to compare it with.", show_default=False)
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            help="The setting that others are compared with, such as -0.1; else nearest 0."
        ),
    ] = None,
    power: Annotated[
        float | None,
        typer.Option(help="How many seeds a difference of so many points needs, by setting."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print settings and arms as JSON and nothing else.")
    ] = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print a line a setting as CSV and nothing else.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Print the page's path and nothing else.")
    ] = False,
) -> None:
    """Print results with intervals, and write report.html and figures.

    asymrl report

    asymrl report runs/my-experiment --against -0.1

    asymrl report --power 2                          how many seeds show a difference of 2 points

    asymrl report --csv > results.csv                a line a setting

    asymrl report runs/one runs/two                  two experiments, side by side

    asymrl report runs/bandit                        the page of the theory bench
    """
    from asymrl.reporting import Printed, run_report

    asked = {Printed.JSON: as_json, Printed.CSV: as_csv, Printed.PATH: quiet}
    printed = [form for form, is_asked in asked.items() if is_asked]
    run_report(directory, other, against=against, power=power, printed=printed)

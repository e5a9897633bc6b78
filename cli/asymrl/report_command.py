"""`asymrl report`: print results with intervals, and write the report page."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    directory: Annotated[
        Path, typer.Argument(help="An experiment directory.", show_default=True)
    ] = Path("runs/cups"),
    other: Annotated[
        Path | None, typer.Argument(help="A second experiment to compare.", show_default=False)
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            help="The setting to compare the others with, such as -0.1; default: nearest 0."
        ),
    ] = None,
    power: Annotated[
        float | None,
        typer.Option(help="Print how many seeds would show a difference of so many points."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print only settings and arms, as JSON.")
    ] = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print only one line for each setting, as CSV.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Print only the path of the page.")
    ] = False,
) -> None:
    """Print results with intervals, and write report.html and figures.

    asymrl report

    asymrl report runs/my-experiment --against -0.1

    asymrl report --power 2                          how many seeds show a difference of 2 points

    asymrl report --csv > results.csv                one line for each setting

    asymrl report runs/one runs/two                  two experiments, side by side

    asymrl report runs/bandit                        the report of the theory bench
    """
    from asymrl.reporting import Printed, run_report

    asked = {Printed.JSON: as_json, Printed.CSV: as_csv, Printed.PATH: quiet}
    printed = [form for form, is_asked in asked.items() if is_asked]
    run_report(directory, other, against=against, power=power, printed=printed)

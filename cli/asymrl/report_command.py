"""`asymrl report`: print results with intervals, and write the report page; also after a sweep.

Heavy modules are imported when the command runs.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asymreinforce import terminal
from asymreinforce.errors import ConfigError
from asymreinforce.progress import say

if TYPE_CHECKING:
    from asymreinforce.config import ExperimentConfig


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
    from asymreinforce.report.bandit.page import holds_benches
    from asymreinforce.report.write import write_report

    options = {"--json": as_json, "--csv": as_csv, "--quiet": quiet}
    forms = [option for option, is_asked in options.items() if is_asked]
    if len(forms) > 1:
        raise ConfigError(f"{' and '.join(forms)} exclude each other: take one")
    is_of_one = other is None and not holds_benches(directory)
    if not is_of_one and (against is not None or power is not None or as_json or as_csv):
        raise ConfigError(
            "--against, --power, --json and --csv are of one experiment; leave them out with two, "
            "and with the theory bench"
        )
    if other is not None:
        page = _report_two(directory, other, is_quiet=quiet)
    elif is_of_one:
        page = _report_one(directory, against=against, power=power, form=next(iter(forms), None))
    else:
        page = write_report(directory)
    if quiet:
        terminal.print_line(str(page), to_stderr=False)
    else:
        say(f"report: {page}")


def _report_two(directory: Path, other: Path, *, is_quiet: bool) -> Path:
    from asymreinforce.report.read import read_pair
    from asymreinforce.report.write import write_comparison
    from asymrl.report_table import print_pair

    compared = read_pair(directory, other)
    page = write_comparison(compared)
    if not is_quiet:
        print_pair(compared)
    return page


def _report_one(
    directory: Path, *, against: str | None, power: float | None, form: str | None
) -> Path:
    """Write the report of an experiment, and print its results in the form of an option."""
    from asymreinforce.report.export import as_csv, as_json
    from asymreinforce.report.read import read_report
    from asymreinforce.report.write import write_report
    from asymrl.report_table import print_results

    report = read_report(directory, against=against)
    page = write_report(directory, report=report)
    if form is None:
        print_results(report, power=power)
    elif form != "--quiet":
        text = as_json(report) if form == "--json" else as_csv(report)
        terminal.print_line(text, to_stderr=False)
    return page


def print_trained(directory: Path) -> None:
    """Print one row for each arm of an experiment without an evaluation."""
    from asymreinforce.report.experiment import read_experiment
    from asymrl.tables import print_arms

    print_arms(read_experiment(directory).arms)


def report_sweep(config: "ExperimentConfig") -> None:
    """Write the report of a sweep, and send summary and figures to its tracker."""
    from asymreinforce.report.write import PAGE, is_current, write_report
    from asymreinforce.tracking import track_report

    # A page that is newer than all its results is kept, since its figures take seconds to draw.
    if is_current(config.directory):
        page = config.directory / PAGE
        say(f"report: {page} (no result is newer; 'asymrl report' draws it again)")
    else:
        say(f"report: {write_report(config.directory)}")
    track_report(config)

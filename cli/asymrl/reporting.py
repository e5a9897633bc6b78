"""Run `asymrl report`, and write the report at the end of a sweep."""

from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from asymreinforce import terminal
from asymreinforce.errors import ConfigError
from asymreinforce.progress import say

if TYPE_CHECKING:
    from asymreinforce.config import ExperimentConfig


class Printed(Enum):
    """The output of a report that replaces its tables on standard output."""

    JSON = "--json"
    CSV = "--csv"
    PATH = "--quiet"


def run_report(
    directory: Path,
    other: Path | None,
    *,
    against: str | None,
    power: float | None,
    printed: Sequence[Printed] = (),
) -> None:
    """Write the report of one or two experiments, and print the results in the form `printed`.

    Raises `InputError` if there is nothing to report, no setting is called `against`, or `power` is
    not possible, and `ConfigError` if options exclude each other.
    """
    from asymreinforce.report.bandit.page import holds_benches

    if len(printed) > 1:
        raise ConfigError(f"{' and '.join(p.value for p in printed)} exclude each other: take one")
    instead = printed[0] if printed else None
    if other is not None:
        _of_one_only(instead, against=against, power=power)
        page = _report_two(directory, other, is_quiet=instead is Printed.PATH)
    elif holds_benches(directory):
        from asymreinforce.report.write import write_report

        _of_one_only(instead, against=against, power=power)
        page = write_report(directory)
    else:
        page = _report_one(directory, against=against, power=power, instead=instead)
    if instead is Printed.PATH:
        terminal.print_line(str(page), to_stderr=False)
    else:
        say(f"report: {page}")


def _of_one_only(instead: Printed | None, *, against: str | None, power: float | None) -> None:
    """Raise `ConfigError` for options that need a single experiment."""
    if against is not None or power is not None or instead in (Printed.JSON, Printed.CSV):
        raise ConfigError(
            "--against, --power, --json and --csv are of one experiment; leave them out with two, "
            "and with the theory bench"
        )


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
    directory: Path, *, against: str | None, power: float | None, instead: Printed | None
) -> Path:
    from asymreinforce.report.export import as_csv, as_json
    from asymreinforce.report.read import read_report
    from asymreinforce.report.write import write_report
    from asymrl.report_table import print_results

    report = read_report(directory, against=against)
    page = write_report(directory, report=report)
    if instead is None:
        print_results(report, power=power)
    elif instead is not Printed.PATH:
        text = as_json(report) if instead is Printed.JSON else as_csv(report)
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

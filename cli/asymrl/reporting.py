"""`asymrl report`, and the report that ends a sweep."""

from pathlib import Path
from typing import TYPE_CHECKING

from asymreinforce.errors import ConfigError
from asymreinforce.progress import say

if TYPE_CHECKING:
    from asymreinforce.config import ExperimentConfig


def run_report(
    directory: Path, other: Path | None, *, against: str | None, power: float | None
) -> None:
    """Print results and write the page, of one experiment or of two.

    Raises `InputError` where there is nothing to report, no setting is called `against`, or `power`
    points cannot be asked of it.
    """
    from asymreinforce.report.bandit.page import holds_benches
    from asymreinforce.report.read import read_pair, read_report
    from asymreinforce.report.write import write_comparison, write_report
    from asymrl.report_table import print_pair, print_results

    if other is not None:
        if against is not None or power is not None:
            raise ConfigError(
                "--against and --power are of one experiment; leave them out with two"
            )
        compared = read_pair(directory, other)
        page = write_comparison(compared)
        print_pair(compared)
        _say(page)
        return
    if holds_benches(directory):
        _say(write_report(directory))
        return
    found = read_report(directory, against=against)
    page = write_report(directory, report=found)
    print_results(found, power=power)
    _say(page)


def report_sweep(config: "ExperimentConfig") -> None:
    """Write the page of a sweep, and send summary and figures to its tracker.

    A page that is newer than all of its results stays: its figures take seconds to draw.
    """
    from asymreinforce.report.write import PAGE, is_current, write_report
    from asymreinforce.tracking import track_report

    if is_current(config.directory):
        say(
            f"report: {config.directory / PAGE} (no result is newer; 'asymrl report' draws it anew)"
        )
    else:
        _say(write_report(config.directory))
    track_report(config)


def _say(page: Path) -> None:
    say(f"report: {page}")

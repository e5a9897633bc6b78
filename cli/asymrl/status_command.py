"""`asymrl status`: print the progress of an experiment. Heavy modules load when it runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from asymreinforce.viewing.status import Status


def status(
    directory: Annotated[Path, typer.Argument(help="An experiment directory.")] = Path("runs/cups"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Print the progress of an experiment, running or not: its stages and every arm. Read only.

    asymrl status                                        runs/cups

    asymrl status runs/mine --json                       the same for programs
    """
    from asymreinforce import terminal
    from asymreinforce.viewing import status as viewing

    status = viewing.read_status(directory)
    if as_json:
        terminal.print_line(viewing.as_json(status), to_stderr=False)
    else:
        _print(status)


def _print(status: "Status") -> None:
    from rich.table import Table

    from asymreinforce import terminal
    from asymreinforce.experiment.arm_table import ArmLine, arm_table
    from asymrl.console import styled_text

    console = terminal.make_console()
    console.print(styled_text(f"{status.directory}: {status.line}", style="bold"))
    stages = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    for stage in status.stages:
        stages.add_row(stage.stage, styled_text(stage.words))
    if status.results:
        stages.add_row("results", ", ".join(status.results))
    console.print(stages)
    if not status.arms:
        return
    console.print()
    lines = [ArmLine(arm.name, arm.state, arm.progress) for arm in status.arms]
    console.print(arm_table(lines, width=console.width, with_state=True))
    for arm in status.arms:
        if arm.reason:
            console.print(styled_text(f"{arm.name}: {arm.reason}", style="dim"))

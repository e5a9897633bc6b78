"""The table of arms in training, with as many columns as fit the terminal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from asymreinforce.data.arm_progress import (
    IN_SAMPLE_KL,
    ArmProgress,
    duration,
    number,
    share,
    whole,
)
from asymreinforce.untrusted import visible

if TYPE_CHECKING:
    from rich.table import Table

GAP = 2
SHORTEST_NAME = 12
UNKNOWN = "-"
STYLES = {"running": "cyan", "done": "green", "failed": "red", "stopped": "yellow"}


class ArmLine(NamedTuple):
    """One line of the table: an arm's name, its state in one word, its progress if known."""

    name: str
    state: str
    progress: ArmProgress | None


def arm_table(lines: Sequence[ArmLine], *, width: int, with_state: bool = False) -> "Table":
    """Return a table with one line for each arm and the non-empty columns that fit `width`.

    At most half of `width` is kept for names; longer names are folded.
    """
    from rich.table import Table
    from rich.text import Text

    cells = [_cells(line, with_state=with_state) for line in lines]
    longest = max((len(line.name) for line in lines), default=0)
    left = width - min(longest, max(SHORTEST_NAME, width // 2))
    shown = []
    for title in cells[0] if cells else ():
        if all(row[title] == UNKNOWN for row in cells):
            continue
        # columns are in order of need: the first that does not fit ends the table
        left -= GAP + max(len(title), *(len(row[title]) for row in cells))
        if left < 0:
            break
        shown.append(title)
    table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("arm", overflow="fold")
    for title in shown:
        table.add_column(
            title,
            justify="left" if title == "state" else "right",
            no_wrap=True,
            overflow="ellipsis",
        )
    for line, row in zip(lines, cells, strict=True):
        style = STYLES.get(line.state, "") if with_state else ""
        values = [Text(row[t], style=style if t == "state" else "") for t in shown]
        table.add_row(Text(visible(line.name)), *values)
    return table


def _cells(line: ArmLine, *, with_state: bool) -> dict[str, str]:
    """Return an arm's numbers by column title, the most needed column first."""
    progress = line.progress
    first = {"state": line.state} if with_state else {}
    if progress is None:
        return first | dict.fromkeys(
            ("step", "left", "batch r", "valid.", IN_SAMPLE_KL, "tok/s"), UNKNOWN
        )
    is_running = line.state == "running"
    return first | {
        "step": f"{progress.step}/{progress.steps}",
        "left": (duration(progress.seconds_left) if is_running else "") or UNKNOWN,
        "batch r": number(progress.reward) or UNKNOWN,
        "valid.": share(progress.validation_accuracy) or UNKNOWN,
        IN_SAMPLE_KL: number(progress.kl) or UNKNOWN,
        "tok/s": (whole(progress.tokens_per_second) if is_running else "") or UNKNOWN,
    }

"""Text from models, data and files, shown by every command that shows any: it is seen, not obeyed.

A sequence of a terminal, a right-to-left override and markup of rich's stand in prompt ids,
policies, texts, settings, paths, and in what a grader raises.
"""

import io
import re
import sys
from pathlib import Path

import pytest

from asymreinforce import progress, terminal
from tests.cli.test_import import HELD_BACK
from tests.fixtures import foreign_files as foreign
from tests.fixtures.commands import IN_PROCESS, asymrl
from tests.fixtures.commands import foreign as checkpoint

EVIL = "x\x1b[2J\x1b]0;title\x07\u202e\x9b31m[red]\rz[/no]"
RICH_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def is_harmless(text: str) -> bool:
    return all(character.isprintable() or character in "\n\t" for character in text)


def grade(metadata: str | None, gold_answer: str, text: str) -> float:
    raise ValueError(EVIL)


def questions(seed: int) -> None:
    raise ValueError(EVIL)


def test_the_door_of_lines_spells_everything_out(capsys: pytest.CaptureFixture[str]) -> None:
    progress.say(EVIL)
    with progress.bar(EVIL, total=2, unit=EVIL) as advance:
        advance(1)
    terminal.print_line(EVIL, to_stderr=False)
    told = capsys.readouterr()
    assert is_harmless(told.out + told.err)
    assert "\\x1b[2J" in told.out and "\\x1b[2J" in told.err
    assert "\\u202e" in told.out and "[red]" in told.out


def test_the_door_of_tables_spells_everything_out_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from rich.table import Table
    from rich.text import Text

    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("TERM", "xterm-256color")
    table = Table(EVIL, title=EVIL)
    table.add_row(Text(EVIL, style="red"))
    table.add_row(EVIL)
    console = terminal.make_console()
    console.print(table)
    console.rule(EVIL)
    console.print(EVIL)
    shown = screen.getvalue()
    assert RICH_COLOURS.search(shown)
    assert is_harmless(RICH_COLOURS.sub("", shown))


def test_a_bar_on_a_terminal_spells_everything_out(monkeypatch: pytest.MonkeyPatch) -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm-256color")
    with progress.bar(EVIL, total=2, unit=EVIL) as advance:
        advance(2)
    assert "\x1b[2J" not in screen.getvalue()
    assert "\x1b]0" not in screen.getvalue()
    assert "\x9b" not in screen.getvalue()
    assert "\\x1b[2J" in screen.getvalue()


HERE = __name__
LATER = (*HELD_BACK, "source.verdicts=graded", "optim.trajectories_per_step=16")


@pytest.fixture(scope="module")
def brought(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A directory of runs, and rows to import whose every text is hostile."""
    place = tmp_path_factory.mktemp("outside")
    rows = [
        row | {"prompt_id": f"{row['question']}{EVIL}", "completion": f"{EVIL}{row['completion']}"}
        for row in foreign.rows(40, (EVIL, f"nu{EVIL}"))
    ]
    return place / "runs", foreign.jsonl(place / f"{EVIL[:3]}a.jsonl", rows)


CUPS = "{runs}/cups"
COMMANDS: dict[str, tuple[int, list[str]]] = {
    "import": (0, ["import"]),
    "import, skipping": (1, ["import", "name=short", "policy.context=40", "sampling.max_tokens=8"]),
    "import, refusing": (
        1,
        ["import", "name=strict", "source.too_long=refuse", "policy.context=40"],
    ),
    "inspect": (0, ["inspect", CUPS, "--limit", "3"]),
    "inspect, a policy": (0, ["inspect", CUPS, "--policy", EVIL]),
    "inspect, counts": (0, ["inspect", CUPS, "--counts"]),
    "sweep": (0, ["sweep", "baseline=-0.1", "seed=0", "sweep.report=false", IN_PROCESS]),
    "evaluate": (0, ["evaluate", "baseline=-0.1"]),
    "samples": (0, ["samples", CUPS, "--limit", "2"]),
    "report": (0, ["report", CUPS]),
    "score": (1, ["sweep", "baseline=-0.1", "seed=0", f"task.grader={HERE}:grade", IN_PROCESS]),
    "a task's function": (1, ["init", f"task.kind={HERE}:questions", "source.path=null"]),
    "a grader's import": (1, ["sweep", f"task.grader='a{EVIL}:grade'", "seed=0", "baseline=0"]),
    "a path": (1, ["import", f"source.path='{EVIL}'"]),
    "a setting": (1, ["train", f"engine.name='{EVIL}'"]),
    "a plan": (0, ["plan", f"policy.source='{EVIL}'", "source.path=null", "policy.parameters=9"]),
    "no such directory": (1, ["report", EVIL]),
    "no such command": (2, [EVIL]),
    "no such arm": (1, ["samples", CUPS, "--arm", EVIL]),
    "a sweep's policies": (1, ["train", "algorithm=ppo", "source.verdicts=imported"]),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_that_shows_outside_text_spells_it_out(
    name: str, brought: tuple[Path, Path], random_policy: Path
) -> None:
    """In their order: later commands read what the first ones made."""
    runs, path = brought
    code, (command, *arguments) = COMMANDS[name]
    arguments = [argument.replace("{runs}", str(runs)) for argument in arguments]
    if command in ("inspect", "samples", "report", EVIL):
        outcome = asymrl(command, *arguments)
    else:
        source = (f"source.path='{path}'", *LATER)
        context = "policy.context=128"
        outcome = checkpoint(command, runs, random_policy, context, *source, *arguments)
    assert outcome.code == code, outcome
    assert is_harmless(outcome.out + outcome.err)

"""What the commands print: help with an example each, the machine, the summary."""

import inspect

import pytest

from cli.main import app
from tests.cli.commands import asymrl

CALLBACKS = {
    command.name or command.callback.__name__: command.callback
    for command in app.registered_commands
    if command.callback
}
COMMANDS = list(CALLBACKS)


def test_the_help_names_every_command_of_the_issue() -> None:
    expected = [
        "init",
        "generate",
        "score",
        "train",
        "evaluate",
        "sweep",
        "report",
        "samples",
        "env",
    ]
    assert set(expected) <= set(COMMANDS)
    outcome = asymrl("--help")
    assert outcome.code == 0
    for command in COMMANDS:
        assert f" {command} " in outcome.out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str) -> None:
    outcome = asymrl(command, "--help")
    assert outcome.code == 0
    assert f"asymrl {command}" in outcome.out.replace(f"Usage: asymrl {command}", "")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_takes_settings_says_so(command: str) -> None:
    takes = "settings" in inspect.signature(CALLBACKS[command]).parameters
    assert ("KEY=VALUE" in asymrl(command, "--help").out) == takes


def test_env_prints_what_a_bug_report_needs() -> None:
    lines = dict(line.split(None, 1) for line in asymrl("env").out.splitlines())
    assert {"python", "torch", "transformers", "pyarrow", "cores", "memory", "devices"} <= set(
        lines
    )
    assert lines["memory"].endswith("GiB")
    assert float(lines["memory"].split()[0]) > 0.5
    assert int(lines["cores"]) >= 1


def test_no_argument_at_all_prints_the_help() -> None:
    outcome = asymrl()
    assert (outcome.code, outcome.err) == (2, "")
    assert "asymrl sweep" in outcome.out

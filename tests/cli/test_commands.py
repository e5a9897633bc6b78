"""What the commands print: help with an example each, the machine, the summary."""

import inspect
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from asymrl.main import app

from tests.fixtures.commands import asymrl, refused, tiny

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
    expected = {"python", "torch", "transformers", "pyarrow", "cores", "memory"}
    assert expected | {"CUDA", "driver", "devices"} <= set(lines)
    assert lines["memory"].endswith("GiB")
    assert float(lines["memory"].split()[0]) > 0.5
    assert int(lines["cores"]) >= 1


def test_env_names_the_driver_and_every_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    tool = tmp_path / "nvidia-smi"
    tool.write_text(
        '#!/bin/sh\n[ "$1" = --query-gpu=driver_version ] && echo 580.95.05 && echo 580.95.05\n'
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    device = SimpleNamespace(name="NVIDIA H100", total_memory=79 * 2**30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: device)
    lines = dict(line.split(None, 1) for line in asymrl("env").out.splitlines())
    assert lines["driver"] == "580.95.05"
    assert lines["devices"] == "NVIDIA H100 79 GiB, NVIDIA H100 79 GiB"
    assert lines["CUDA"].endswith(
        "is built for CUDA 13.0, which needs NVIDIA driver 580.65 or newer"
    )


def test_no_argument_at_all_prints_the_help() -> None:
    outcome = asymrl()
    assert (outcome.code, outcome.err) == (2, "")
    assert "asymrl sweep" in outcome.out


@pytest.mark.parametrize("setting", ["task.grader=exact", "reward.truncated=as_judged"])
@pytest.mark.slow
def test_an_evaluation_by_what_no_arm_was_made_with_is_refused(
    setting: str, made_once: Path
) -> None:
    message = refused(tiny("evaluate", made_once, setting), "no arm was made with", "asymrl train")
    assert setting in message


def test_an_evaluation_may_have_an_engine_and_samples_of_its_own(runs_dir: Path) -> None:
    own = ("engine.max_sequences=7", "evaluation.sampling.samples_per_prompt=1")
    assert tiny("evaluate", runs_dir, *own).code == 0

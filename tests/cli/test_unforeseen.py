"""What nobody foresaw: one line, the log with its traceback, exit code 1; and no reader lost."""

import errno
import os
import resource
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from asymreinforce import failures
from asymreinforce.data import files
from asymreinforce.errors import StorageError
from tests.fixtures.commands import TINY
from tests.fixtures.made_up_experiment import make_experiment, sweep

ROOT = Path(__file__).parents[2]
RUN = "from asymrl.main import main; main()"
SPOILT = """
import asymrl.environment
def fail():
    {error}
asymrl.environment.describe_machine = fail
"""
WITHOUT = """
import importlib.abc, sys
class Without(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] == {package!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Without())
"""


def run(
    *arguments: str,
    before: str = "",
    environment: dict[str, str] | None = None,
    place: Path | None = None,
    limit: Callable[[], object] | None = None,
) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [sys.executable, "-c", before + RUN, *arguments],
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'cli'}"} | (environment or {}),
        cwd=place,
        preexec_fn=limit,
        capture_output=True,
        timeout=300,
    )


@pytest.mark.parametrize(
    "error",
    [
        "raise RuntimeError('first\\x1b[2J\\nsecond')",
        "raise KeyError('x')",
        "raise AssertionError",
        "raise MemoryError",
        "return fail()",
        "raise ConnectionError('nobody answers')",
        "raise ExceptionGroup('several', [ValueError('one')])",
    ],
)
def test_what_escapes_is_one_line_and_a_log(error: str, tmp_path: Path) -> None:
    done = run("env", before=SPOILT.format(error=error), environment={"TMPDIR": str(tmp_path)})
    (line,) = done.stderr.decode().splitlines()
    assert done.returncode == 1
    assert line.startswith("error: unexpected ")
    assert line.isprintable()
    (log,) = tmp_path.glob("asymrl-*.log")
    assert line.endswith(f"(log: {log})")
    assert "Traceback (most recent call last):" in log.read_text()
    assert log.stat().st_mode & 0o077 == 0


def test_where_no_log_can_be_written_the_line_says_so(tmp_path: Path) -> None:
    before = SPOILT.format(error="raise KeyError('x')")
    before += "import tempfile; tempfile.tempdir = '/proc/nowhere'\n"
    done = run("env", before=before)
    (line,) = done.stderr.decode().splitlines()
    assert done.returncode == 1
    assert line == (
        "error: unexpected KeyError: 'x' (its log cannot be written; set TMPDIR to a writable "
        "directory)"
    )


@pytest.mark.parametrize(
    ("package", "command", "extra"),
    [
        ("torch", ("init", *TINY), "train"),
        ("torch", ("bandit",), "train"),
        ("torch", ("sweep", *TINY), "train"),
        ("transformers", ("init", *TINY), "train"),
        ("safetensors", ("init", *TINY), "train"),
    ],
)
def test_a_package_that_the_base_installation_lacks_is_named_with_its_extra(
    package: str, command: tuple[str, ...], extra: str, tmp_path: Path
) -> None:
    done = run(*command, before=WITHOUT.format(package=package), place=tmp_path)
    lines = done.stderr.decode().splitlines()
    assert done.returncode == 1
    assert lines[-1] == (
        f"error: {package} is not installed; install the extra '{extra}' (README.md)"
    )


def test_every_package_of_an_extra_is_known() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = declared["optional-dependencies"]
    for name in ("train", "data", "track", "ray"):
        for requirement in extras[name]:
            package = requirement.partition(">")[0].partition("[")[0]
            assert failures.EXTRAS[package] == name


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-16", "cp437"])
def test_an_encoding_without_our_characters_spells_them_out(encoding: str, tmp_path: Path) -> None:
    directory = make_experiment(tmp_path, sweep([-0.3, 0.1], seeds=[0, 1]), metric_files=1)
    environment = {"PYTHONIOENCODING": encoding}
    for command in (("report", str(directory)), ("bandit", "steps=5", "arms=4"), ("env",)):
        done = run(*command, environment=environment, place=tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stdout.decode(encoding)
    assert (directory / "report.html").exists()


def test_in_a_c_locale_pages_are_utf_8_all_the_same(tmp_path: Path) -> None:
    directory = make_experiment(tmp_path, sweep([-0.3], seeds=[0]), metric_files=1)
    environment = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = run("report", str(directory), environment=environment)
    assert done.returncode == 0, done.stderr
    page = (directory / "report.html").read_text(encoding="utf-8")
    assert "±" in page


@pytest.mark.parametrize("command", ["report", "--cfg"])
def test_a_reader_that_has_gone_costs_the_command_nothing(command: str, tmp_path: Path) -> None:
    directory = make_experiment(tmp_path, sweep([-0.3, 0.1], seeds=[0, 1]), metric_files=1)
    arguments = ["report", str(directory)] if command == "report" else ["train", "--cfg", "job"]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-c", RUN, *arguments],
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'cli'}"},
        stdout=writing,
        stderr=subprocess.PIPE,
    )
    os.close(writing)
    assert done.returncode == 0, done.stderr
    assert b"Error" not in done.stderr and b"Traceback" not in done.stderr
    if command == "report":
        assert (directory / "report.html").exists()


def test_output_to_a_full_disk_is_an_error(tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-c", RUN, "env"],
            env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'cli'}"},
            stdout=full,
            stderr=subprocess.PIPE,
        )
    assert done.returncode == 1
    (line,) = done.stderr.decode().splitlines()
    assert "the disk is full" in line


def small_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, 64 * 1024))


def test_a_file_larger_than_allowed_is_said_and_nothing_half_written_stays(tmp_path: Path) -> None:
    """The weights are written by safetensors, whose error is no OSError."""
    import json

    from tests.fixtures.commands import EMBEDDED

    settings = (*TINY, *EMBEDDED, f"runs_dir={tmp_path}/runs")
    done = run("init", *settings, place=tmp_path, limit=small_files)
    lines = done.stderr.decode().splitlines()
    assert done.returncode == 1
    assert lines[-1].startswith("error: "), lines
    assert "ulimit -f" in lines[-1]
    assert not list(tmp_path.rglob(".tmp-*"))
    plans = [json.loads(path.read_text()) for path in tmp_path.rglob("manifest.json")]
    assert len(plans) <= 1  # the prompts are small, the policy is not


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "quota"),
        (errno.EFBIG, "ulimit -f"),
        (errno.EROFS, "cannot be written"),
        (errno.EMFILE, "ulimit -n"),
        (errno.EIO, "Input/output error"),
    ],
)
@pytest.mark.parametrize("kind", ["system", "pyarrow", "safetensors"])
def test_every_library_s_failure_of_the_file_system_is_understood(
    number: int, words: str, kind: str, tmp_path: Path
) -> None:
    from safetensors import SafetensorError

    text = os.strerror(number)
    errors = {
        "system": OSError(number, text),
        "pyarrow": OSError(f"Error writing bytes to file. Detail: [errno {number}] {text}"),
        "safetensors": SafetensorError(f"I/O error: {text} (os error {number})"),
    }
    with pytest.raises(StorageError, match=words), files.readable_os_errors(tmp_path):
        raise errors[kind]

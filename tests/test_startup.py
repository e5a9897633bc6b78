"""`asymrl --help` answers at once, and loads nothing that it does not need."""

import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = {
    "torch",
    "vllm",
    "transformers",
    "pyarrow",
    "matplotlib",
    "numpy",
    "hydra",
    "reasoning_gym",
    "math_verify",
    "wandb",
}
RUNS = 5


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)


def cpu_seconds(*arguments: str) -> float:
    """CPU seconds of one process: its wall-clock time on a machine that does nothing else."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run(*arguments)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_help_takes_less_than_half_a_second() -> None:
    run("-m", "asymrl.main", "--help")  # writes the byte code
    times = [cpu_seconds("-m", "asymrl.main", "--help") for _ in range(RUNS)]
    assert statistics.median(times) < 0.5, times


@pytest.mark.parametrize("arguments", [["--help"], ["sweep", "--help"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    program = (
        "import sys\n"
        "from asymrl.main import main\n"
        f"try:\n    main({arguments!r})\n"
        "except SystemExit as stop:\n    assert not stop.code\n"
        "print('LOADED', *{name.split('.')[0] for name in sys.modules})\n"
    )
    *printed, loaded = run("-c", program).stdout.splitlines()
    assert any("asymrl" in line for line in printed)
    assert {"typer", "asymrl"} <= set(loaded.split())
    assert set(loaded.split()) & HEAVY == set()


def test_the_entry_point_is_main() -> None:
    """The program that an installation puts on the path, where there is one."""
    program = Path(sys.executable).with_name("asymrl")
    if not program.exists():
        pytest.skip("the package is not installed into this environment")
    ran = subprocess.run(
        [program, "--help"], capture_output=True, text=True, check=False, env={**os.environ}
    )
    assert ran.returncode == 0
    assert "Usage: asymrl [OPTIONS] COMMAND" in ran.stdout


def test_a_report_loads_no_torch() -> None:
    """It asks the table of objectives which of them have a baseline."""
    program = "import sys, asymreinforce.report.read; print('torch' in sys.modules)"
    assert run("-c", program).stdout.strip() == "False"

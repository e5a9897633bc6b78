"""Run the tests in two processes side by side (`make test`; `make test-fast` skips slow tests).

    .venv/bin/python scripts/run_tests.py [--fast] [pytest's own options]

Each process has half of the folders and one torch thread. Its output is printed line by line as it
comes.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[1]
FIRST = {
    *("algorithm", "bandit", "cli", "data", "engines", "imported"),
    *("planning", "plugins", "report", "tasks", "viewing", "workers"),
}
"""Folders of the first process, which take half of the time; the second has all others."""
FAST = ("-m", "not slow and not vllm and not browser and not campaign")


def halves() -> list[list[str]]:
    """Return the paths that each process tests, relative to the repository."""
    tests = ROOT / "tests"
    folders = sorted({path.parent.name for path in tests.glob("*/test_*.py")})
    modules = sorted(f"tests/{path.name}" for path in tests.glob("test_*.py"))
    first = [f"tests/{name}" for name in folders if name in FIRST]
    second = [f"tests/{name}" for name in folders if name not in FIRST]
    return [[*first, *modules], second]


def main(arguments: Sequence[str]) -> int:
    """Run both halves; return 1 if a test failed in either."""
    options = [*(FAST if "--fast" in arguments else ()), *(a for a in arguments if a != "--fast")]
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "pytest", "-q", *options, *paths],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for paths in halves()
    ]
    readers = [
        threading.Thread(target=_print_lines, args=(number, process.stdout))
        for number, process in enumerate(started, start=1)
    ]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    codes = [process.wait() for process in started]
    return int(any(codes))


def _print_lines(number: int, output: IO[str] | None) -> None:
    assert output is not None
    for line in output:
        print(f"{number}| {line}", end="", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

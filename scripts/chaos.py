"""The campaign of faults: run each group of tests, and write its table to docs/reliability.md.

    make chaos                                  all of it, about half an hour on two idle cores
    python scripts/chaos.py --only lease,signals     some rows; the others keep what they say

A row is a fault, the tests that cause it, and how they ended; a row that did not run here says so.
"""

import argparse
import datetime
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

PAGE = Path(__file__).parents[1] / "docs" / "reliability.md"
TITLE = """# Reliability

What is done to every stage, and how it ends. Written by `make chaos` (`scripts/chaos.py`), which
anyone can run; a part that takes seconds belongs to `make test`. *Not run* means just that.

| row | fault | outcome | date |
| --- | --- | --- | --- |
"""
NOT_TRIED = """
Not tried here: NFS and Lustre themselves (leases and publication use `O_EXCL` and a rename within
one directory, by design), a real GPU out of memory, a host that vanishes, a Ray worker killed.
"""


FILLED = (
    "tests/data",
    "tests/foreign",
    "tests/stages/test_generate.py",
    "tests/stages/test_score.py",
    "tests/stages/test_train.py",
)
SHOWN = (
    "tests/analysis/test_untrusted.py",
    "tests/policy/test_prompts.py",
    "tests/cli/test_inspect.py",
    "tests/cli/test_samples.py",
)


class Row(NamedTuple):
    """A fault, and the tests that cause it."""

    fault: str
    tests: tuple[str, ...]


ROWS = {
    "failpoints": Row(
        "killed at each write, fsync and rename (fake engine), then run again: equal payload",
        (
            "-k",
            "killed_at",
            "tests/data",
            "tests/stages/test_generate.py",
            "tests/stages/test_score.py",
            "tests/stages/test_train.py",
            "tests/foreign",
        ),
    ),
    "kills": Row("30 seeded SIGKILLs on real runs with vLLM", ("tests/stages/test_real_kills.py",)),
    "signals": Row(
        "SIGTERM and Ctrl-C: a checkpoint, one line, 143 or 130",
        ("tests/stages/test_interruption.py", "tests/cli/test_stopped.py"),
    ),
    "lease": Row("two processes on one directory", ("tests/data/test_lease.py",)),
    "corruption": Row("bytes flipped or cut in every file", ("tests/data/test_corruption.py",)),
    "machine": Row("disk full, files in the way, no device", ("tests/cli/test_bad_machine.py",)),
    "graders": Row(
        "a grader that hangs, eats memory, forks, dies",
        ("tests/rewards/test_pool.py", "tests/stages/test_score.py", "-k", "not killed_at"),
    ),
    "numbers": Row(
        "a loss that is not finite", ("tests/stages/test_train.py", "-k", "finite or last_good")
    ),
    "hostile": Row(
        "hostile text on terminal, page and in prompts",
        (
            "tests/analysis/test_untrusted.py",
            "tests/policy/test_prompts.py",
            "tests/cli/test_inspect.py",
            "-k",
            "hostile or special or shown or characters",
        ),
    ),
    "secrets": Row("planted tokens and pickles", ("tests/cli/test_secrets.py",)),
    "ranks": Row("two ranks killed in mid-step", ("tests/experiment/test_launch.py",)),
}


def run(row: Row) -> str:
    """Run a row's tests; return its outcome as a cell."""
    started = time.monotonic()
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "--durations=0",
            "-p",
            "no:cacheprovider",
            *row.tests,
        ],
        env={**os.environ, "ASYMRL_KILLS": "10", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    last = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else "no output"
    counts = ", ".join(re.findall(r"\d+ (?:passed|failed|skipped|errors?)", last)) or last
    return f"{counts} in {time.monotonic() - started:.0f} s"


def cells(page: str) -> dict[str, tuple[str, str]]:
    """Return outcome and date of each row that a page has."""
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| ")]
    return {row[0][2:]: (row[2], row[3].rstrip(" |")) for row in rows if len(row) == 4}


def main() -> None:
    """Run rows, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="names of rows, comma-separated")
    chosen = (parser.parse_args().only or ",".join(ROWS)).split(",")
    known = cells(PAGE.read_text()) if PAGE.exists() else {}
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    for name in chosen:
        known[name] = (run(ROWS[name]), today)
        print(f"{name}: {known[name][0]}", flush=True)
        lines = [
            f"| {name} | {row.fault} | {' | '.join(known.get(name, ('not run', '-')))} |"
            for name, row in ROWS.items()
        ]
        PAGE.write_text(TITLE + "\n".join(lines) + "\n" + NOT_TRIED)
    sys.exit(any("failed" in known[name][0] or "error" in known[name][0] for name in chosen))


if __name__ == "__main__":
    main()

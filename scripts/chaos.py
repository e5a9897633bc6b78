"""Run the fault tests of each group, and write their table in docs/internals/.

    make chaos                                  all rows: two side by side, one thread each
    python scripts/chaos.py --only lease,signals     some rows; the others keep their results

A row is a fault, the tests that cause it, and their outcome; a row that did not run says so. The
whole campaign fails if it takes more than 30 minutes on two cores.
"""

import argparse
import datetime
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

PAGE = Path(__file__).parents[1] / "docs" / "internals" / "reliability.md"
LOGS = Path(__file__).parents[1] / "runs" / "chaos"
"""The folder for the output of failed tests."""
BUDGET_S = 30 * 60
AT_ONCE = 2
TITLE = """# Reliability

Faults that are done to every stage, and how each ends. `make chaos` (`scripts/chaos.py`) writes
this page, and anyone can run it. The part that takes seconds belongs to `make test`; the rest is
marked `campaign`. *Not run* means that a row was not run. Skipped tests say why: `pytest -m "" -rs`
with the files of the row.

| row | fault | outcome | date |
| --- | --- | --- | --- |
"""
NOT_TRIED = """
Not tried here: NFS and Lustre themselves (leases and publication use `O_EXCL` and a rename within
one directory, by design; slow renames are simulated), a real GPU out of memory (it is simulated), a
host that vanishes. `make audit` says how many pinned packages could be looked up for known
vulnerabilities.

## Graders and templates are not sandboxed

Graders, task functions and templates that a user names run as that user. Only graders are
restricted: in time, memory, the size of a file, processes (which are killed with them), and an
environment of listed variables (`ASYMRL_GRADER_ENVIRONMENT` names more). If the system lets users
make namespaces, the kernel also hides the environment and memory of the parent processes from
graders. Without namespaces (many containers forbid them) a grader can read `/proc/PID/environ` of
every process of its user. In either case a grader can use the network, and read and write the
user's files, `~/.cache/huggingface/token` and `~/.netrc` among them. Run untrusted code in a
container or as a separate user.
"""


class Row(NamedTuple):
    """A fault, and the tests that cause it."""

    fault: str
    tests: tuple[str, ...]


FAULTS = "tests/faults"
ROWS = {
    "kills": Row(
        "8 seeded SIGKILLs each on real score, train, generate and evaluate, with vLLM",
        ("tests/stages/test_real_kills.py",),
    ),
    "random kills": Row(
        "40 seeded SIGKILLs on a parallel sweep (parent, one child, all), import, bandit and "
        "report: the rerun's payload is equal, no process left, nothing in /dev/shm or TMPDIR",
        (f"{FAULTS}/test_random_kills.py",),
    ),
    "failpoints of stages": Row(
        "killed at each write, fsync and rename of init, import, generate, score, bandit; a write "
        "that no scenario passes fails the row",
        (f"{FAULTS}/test_failpoints.py", "-k", "stages"),
    ),
    "failpoints of experiments": Row(
        "the same of train, evaluate, sweep, run, report and what they write when they fail",
        (f"{FAULTS}/test_failpoints.py", "-k", "experiments"),
    ),
    "failpoints of the library": Row(
        "every failpoint of a store, generate, score, train and import, called directly",
        (
            *("-k", "killed_at and not 5", "tests/data", "tests/imported"),
            *(f"tests/stages/test_{name}.py" for name in ("generate", "score", "train")),
        ),
    ),
    "machine": Row(
        "disk full, quota used up (simulated), too large a file, read-only, permission lost in the "
        "middle of each stage, a sweep and a report; slow renames; files in the way; no device",
        (f"{FAULTS}/test_machine.py", "tests/cli/test_bad_machine.py", "-k", "not engine"),
    ),
    "engine": Row(
        "an engine that raises, is killed, or runs out of GPU memory (simulated) within a batch",
        (f"{FAULTS}/test_machine.py", "tests/update/test_trainer.py", "-k", "engine or memory"),
    ),
    "signals": Row(
        "SIGTERM and Ctrl-C to every long command, workers included: one line, 143 or 130; the "
        "second stops at once",
        (
            *("tests/stages/test_interruption.py", "tests/cli/test_stopped.py"),
            f"{FAULTS}/test_signals.py",
        ),
    ),
    "orphans": Row(
        "the parent of a parallel sweep or run killed alone, its children stopped or not: no "
        "process left, nothing in /dev/shm, the rerun completes",
        (f"{FAULTS}/test_orphans.py", "tests/experiment/test_children.py"),
    ),
    "unforeseen": Row(
        "an error that nobody foresaw, a file larger than allowed, output to a full disk, a reader "
        "that has gone (a pipe into `head -1`), other encodings, a package that is not installed",
        ("tests/cli/test_unforeseen.py",),
    ),
    "lease": Row(
        "two processes on one directory; a lease that is lost", ("tests/data/test_lease.py",)
    ),
    "two at once": Row(
        "two sweeps of one experiment at once; a process stopped past its lease goes on while "
        "another has taken over: it writes nothing more, and bytes are equal",
        (f"{FAULTS}/test_two_at_once.py",),
    ),
    "corruption": Row(
        "bytes flipped or cut in every file: parquet, plan, manifest, receipts, configurations, "
        "checkpoints, metrics, round records",
        ("tests/data/test_corruption.py", f"{FAULTS}/test_corruption.py"),
    ),
    "graders": Row(
        "a grader that hangs, eats memory, forks, writes files, dies, looks for tokens",
        ("tests/grading/test_pool.py", "tests/stages/test_score.py", "-k", "not killed_at"),
    ),
    "workers": Row(
        "a Ray worker killed; a shard that kills every worker; two ranks killed in mid-step",
        ("tests/workers/test_on_ray.py", "tests/experiment/test_launch.py"),
    ),
    "numbers": Row(
        "a loss that is not finite", ("tests/stages/test_train.py", "-k", "finite or last_good")
    ),
    "hostile": Row(
        "hostile text on terminal, both pages, wandb, in parquet, imports and prompts",
        (
            *("tests/report/test_untrusted.py", "tests/model/test_prompts.py"),
            *(
                "tests/cli/test_inspect.py",
                "tests/cli/test_samples.py",
                "tests/cli/test_outside_text.py",
                f"{FAULTS}/test_hostile.py",
            ),
            *("-k", "hostile or special or shown or characters or outside or door or bar"),
        ),
    ),
    "secrets": Row("planted tokens and pickles", ("tests/cli/test_secrets.py",)),
}


class Ended(NamedTuple):
    """The outcome of a row's tests: a cell of the table, and whether no test failed."""

    cell: str
    passed: bool


def run(name: str) -> Ended:
    """Run the tests of a row; the output of failed tests goes to a log."""
    row = ROWS[name]
    started = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-q", "-m", "", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, *row.tests],
        env={**os.environ, "ASYMRL_KILLS": "8", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - started
    last = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else "no output"
    counts = ", ".join(re.findall(r"\d+ (?:passed|failed|skipped|errors?)", last)) or last
    failures = re.findall(r"^(?:FAILED|ERROR) (.*)", done.stdout, re.M)
    for line in failures:
        print(f"  {line}", flush=True)
    if done.returncode:
        LOGS.mkdir(parents=True, exist_ok=True)
        log = LOGS / f"{name.replace(' ', '-')}.log"
        log.write_text(done.stdout + done.stderr)
        print(f"  {log}", flush=True)
    return Ended(f"{counts} in {seconds:.0f} s", done.returncode == 0)


def cells(page: str) -> dict[str, tuple[str, str]]:
    """Return the outcome and the date of each row of a page."""
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| ")]
    return {row[0][2:]: (row[2], row[3].rstrip(" |")) for row in rows if len(row) == 4}


def totals(page: str) -> str:
    """Return the line of a page about the last whole campaign."""
    found = re.search(r"^The whole campaign .*?(?=\n\n|\Z)", page, re.M | re.S)
    return found.group() if found else "The whole campaign was not run yet."


def write(known: dict[str, tuple[str, str]], total: str) -> None:
    """Write the page."""
    lines = [
        f"| {name} | {row.fault} | {' | '.join(known.get(name, ('not run', '-')))} |"
        for name, row in ROWS.items()
    ]
    PAGE.write_text(TITLE + "\n".join(lines) + f"\n\n{total}\n" + NOT_TRIED)


def spent(seconds: float) -> str:
    """Describe the time and the machine of the campaign."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    verdict = "within" if seconds <= BUDGET_S else "over"
    return (
        f"The whole campaign took {seconds / 60:.1f} minutes, {verdict} its budget of "
        f"{BUDGET_S / 60:.0f}, and {(used.ru_utime + used.ru_stime) / 60:.1f} minutes of CPU time\n"
        f"on {len(os.sched_getaffinity(0))} cores (load average at its end "
        f"{os.getloadavg()[1]:.1f}; with {AT_ONCE} rows side by side on an idle machine: about "
        f"{AT_ONCE})."
    )


def campaign(names: Sequence[str]) -> bool:
    """Run rows, two at a time, and write the page after each; return whether all passed in time."""
    page = PAGE.read_text() if PAGE.exists() else ""
    known, total = cells(page), totals(page)
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    started, passed = time.monotonic(), True
    with ThreadPoolExecutor(AT_ONCE) as pool:
        running = {name: pool.submit(run, name) for name in names}
        waiting = set(names)
        while waiting:
            time.sleep(0.2)
            for name in [name for name in waiting if running[name].done()]:
                waiting.remove(name)
                ended = running[name].result()
                passed &= ended.passed
                known[name] = (ended.cell, today)
                print(f"{name}: {ended.cell}", flush=True)
                write(known, total)
    seconds = time.monotonic() - started
    if set(names) == set(ROWS):
        total = spent(seconds)
        write(known, total)
    print(f"{seconds / 60:.1f} of {BUDGET_S / 60:.0f} minutes", flush=True)
    return passed and seconds <= BUDGET_S


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help=f"names of rows, comma-separated: {', '.join(ROWS)}")
    only = parser.parse_args().only
    names = only.split(",") if only else list(ROWS)
    if unknown := [name for name in names if name not in ROWS]:
        parser.error(f"no such row: {', '.join(unknown)}; there are {', '.join(ROWS)}")
    sys.exit(not campaign(names))


if __name__ == "__main__":
    main()

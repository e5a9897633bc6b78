"""Check on a machine with a CUDA device that training is right, and measure its speed.

    python scripts/check_gpu.py OUT.json --minutes 9 [--carried DIR]   # one device
    python scripts/check_gpu.py OUT.json --toy                         # seconds on a CPU: a test
    python scripts/check_gpu.py --carry DIR        # on CPU: the experiment for --carried

Most checks need only torch, transformers and pyarrow, without a package index or vLLM; a check that
needs more says so. Checks are independent: an exception is the verdict of its check, a process that
dies or hangs is replaced, and OUT.json is written after each check. Cheap checks of correctness run
first. The script exits with 1 if a check failed; figures that miss their goals are no failure.
"""

import argparse
import functools
import itertools
import multiprocessing
import os
import queue
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(1, str(Path(__file__).resolve().parents[1]))  # a checkout that is not installed

import torch
from gpu import figures, kernels, stages, steps, ways
from gpu.checks import Check, Place, verdict
from measures import report, table

CHECKS = [
    Check("environment", kernels.environment),
    Check("varlen attention", kernels.varlen, 90),
    Check("SDPA attention", kernels.sdpa),
    Check("heads", kernels.heads),
    Check("steps", steps.steps, 120),
    Check("every objective", steps.objectives, 120),
    Check("save, load, go on", steps.going_on),
    Check("out of memory", steps.out_of_memory),
    Check("one rank: FSDP2", steps.one_rank, 90),
    Check("transformers engine", stages.engine, 90),
    Check("compiled layers", steps.compiled, 150),
    Check("command line", stages.command_line, 240),
    Check("attention memory", kernels.attention_memory, 120),
    Check("peak of the device", figures.peaks),
    Check("head", figures.head),
    *[
        Check(f"{shape}, {way}", functools.partial(figures.packed, shape, way), 150)
        for shape in ways.QWEN
        for way in ("plain", "compiled", "checkpointed", "adapters")
    ],
    Check("prefix sharing, 0.5B", figures.sharing, 90),
    Check("against others, 1.5B", figures.rivals, 240),
    # Liger's kernels stay in the process, so this check goes last.
    Check("0.5B, Liger", functools.partial(figures.packed, "0.5B", "Liger"), 90),
]
IN_TOY = {check.name for check in CHECKS} - {
    *(f"{shape}, {way}" for shape in ("1.5B", "3B") for way in ways.WAYS),
    *("0.5B, compiled", "0.5B, Liger"),  # a compiler's half minute; kernels that want CUDA
}


def run(checks: list[Check], place: Place, path: Path, *, until: float) -> list[dict[str, Any]]:
    """Run checks in a process that is replaced if it dies or hangs; write OUT after each check."""
    left = {check.name: check for check in checks}
    done: list[dict[str, Any]] = []

    def add(row: dict[str, Any]) -> None:
        done.append(row)
        left.pop(row["check"], None)
        report(path, {"place": str(place.device), "checks": done})
        print(f"{row['verdict']:>8}  {row.get('seconds', 0):6.1f} s  {row['check']}", flush=True)

    while left and time.time() < until:
        context = multiprocessing.get_context("spawn")
        said: Any = context.Queue()
        worker = context.Process(target=_work, args=(list(left), place, said), daemon=False)
        worker.start()
        running, since = "", time.time()
        while left:
            limit = left[running].seconds if running else 120.0
            try:
                message = said.get(timeout=0.5)
            except queue.Empty:
                late = time.time() - since > limit or time.time() > until
                if worker.is_alive() and not late:
                    continue
                name = running or next(iter(left))
                reason = "hung" if late else f"the process died (exit code {worker.exitcode})"
                if time.time() > until:
                    reason = "cut off by the deadline"
                add({"check": name, "verdict": "ERROR", "message": reason, "findings": [],
                     "seconds": time.time() - since})  # fmt: skip
                break
            if isinstance(message, str):
                running, since = message, time.time()
            else:
                add(message | {"seconds": time.time() - since})
                running, since = "", time.time()
        worker.kill()
        worker.join()
    for name in list(left):
        add({"check": name, "verdict": "not run", "message": "no time was left", "findings": []})
    return done


def _work(names: list[str], place: Place, said: Any) -> None:
    """Run checks by name, one after the other, and send their verdicts."""
    by_name = {check.name: check for check in CHECKS}
    torch.set_num_threads(1 if place.is_toy else min(8, os.cpu_count() or 1))
    for name in names:
        said.put(name)
        said.put(verdict(by_name[name], place))


def show(rows: list[dict[str, Any]]) -> None:
    """Print every finding, the errors, and a table of verdicts at the end."""
    for row in rows:
        print(f"\n{row['check']}: {row['verdict']}")
        if row["message"]:
            print(f"  {row['message']}")
        for finding in row["findings"]:
            value = finding["value"]
            text = f"{value:.4g}" if isinstance(value, float) else str(value)
            most = f" (at most {finding['most']:g})" if finding["most"] is not None else ""
            goal = f" (goal {finding['goal']})" if finding["goal"] else ""
            print(f"  {finding['what']:<48} {text} {finding['unit']}{most}{goal}")
    print()
    verdicts = [[r["check"], r["verdict"], f"{r.get('seconds', 0):.1f}"] for r in rows]
    print(table(["check", "verdict", "s"], verdicts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("json", type=Path, nargs="?", help="where to write verdicts and figures")
    parser.add_argument("--minutes", type=float, default=9.0, help="checks that come later are cut")
    parser.add_argument("--toy", action="store_true", help="tiny sizes on CPU: a test")
    parser.add_argument("--carried", type=Path, help="an experiment that --carry made")
    parser.add_argument("--carry", type=Path, metavar="DIR", help="make that experiment, and end")
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="NAME",
        help="checks of that name, or that begin so, in that order",
    )
    chosen = parser.parse_args()
    if chosen.carry:
        stages.carry(chosen.carry)
        return
    if chosen.json is None:
        parser.error("say where the verdicts are to be written: check_gpu.py OUT.json")
    if not (chosen.toy or torch.cuda.is_available()):
        parser.error("there is no CUDA device; --toy tests the checks on CPU")
    checks = [c for c in CHECKS if not chosen.toy or c.name in IN_TOY]
    if chosen.only:
        named = [
            [c for c in checks if c.name == name] or [c for c in checks if c.name.startswith(name)]
            for name in chosen.only
        ]
        checks = list(dict.fromkeys(itertools.chain(*named)))
    place = Place(torch.device("cpu" if chosen.toy else "cuda"), chosen.toy, chosen.carried)
    rows = run(checks, place, chosen.json, until=time.time() + 60 * chosen.minutes)
    show(rows)
    sys.exit(any(row["verdict"] in ("FAIL", "ERROR") for row in rows))


if __name__ == "__main__":
    main()

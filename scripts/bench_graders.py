"""Measure the speed of verdicts: against other rules on the same rows, cached, and by a pool.

    python scripts/bench_graders.py                                # synthetic answers
    ASYMRL_TEST_DATA=... python scripts/bench_graders.py           # golds of MATH, hostile rows

Samples are synthetic, since no public rollouts have 64 samples per prompt. The accuracy of a prompt
is drawn from U(0, 1). A wrong answer is one of 200 other answers of the data by Zipf's law: the
k-th in the prompt's order has weight 1/k. Each answer is in a box behind a few sentences. The table
shows the share of repeated answers of a prompt, on which the speed of the cache depends. Times are
CPU seconds in one process for rules and the cache, and wall-clock seconds for the pool.

The rules judge the same rows, each pair of gold answer and answer once: plain math-verify; TRL's
accuracy_reward, if trl is installed; and the last box compared as text, a short form of verl's rule
for MATH (verl rewrites more spellings).
"""

import argparse
import datetime
import functools
import importlib.util
import json
import logging
import os
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from asymreinforce.grading import math_answers
from asymreinforce.grading.extraction import last_boxed
from asymreinforce.grading.graders import GRADERS
from asymreinforce.grading.pool.pool import GraderPool
from asymreinforce.grading.verdict import GradedRow

WORDS = ("so", "we", "let", "the", "sum", "over", "all", "terms", "be", "hence", "it", "follows")
WRONG = 200
HOSTILE = (
    r"\boxed{9^{9^{9^{9}}}}",
    r"\boxed{(((9!)!)!)!}",
    r"\boxed{" + "(" * 2_000 + "1" + ")" * 2_000 + "}",
    r"\boxed{" + "*".join(f"(x+{i})" for i in range(60)) + "}",
    r"\boxed{" + ",".join(map(str, range(60_000))) + "}",
    "reasoning " * 20_000 + r"\boxed{7}",
    "(" * 100_000,
)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--unrepeated", type=int, default=2_000, help="rows that rules judge")
    parser.add_argument("--prompts", type=int, default=60)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rows", type=int, default=8_000, help="rows that the pool judges")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    data = os.environ.get("ASYMRL_TEST_DATA")
    answers = _math_golds(Path(data)) if data else _made_up_golds()
    print(f"{datetime.date.today()}, {len(answers)} answers {'of MATH' if data else 'made up'}")
    compare = functools.partial(_compare_rules, repeats=options.repeats)
    compare("math", _unrepeated(answers, count=options.unrepeated), of="sampled rows")
    if data:
        compare("math", _written_otherwise(Path(data)), of="answers in other spellings")
        compare("gsm8k", _gsm8k_rows(Path(data), options.unrepeated), of="solutions of GSM8K")
    print("samples  rows  repeated  plain math-verify  cached  ratio")
    for samples in (8, 64):
        rows = sample_rows(answers, prompts=options.prompts, samples=samples, seed=samples)
        _compare_cached(rows, samples=samples, repeats=options.repeats)
    hostile = (
        _hostile_rows(Path(data)) if data else [GradedRow(None, "1", text) for text in HOSTILE]
    )
    rows = [*_pairs(answers, count=options.rows), *hostile]
    random.Random(0).shuffle(rows)
    print(f"pool, {len(rows)} rows, {len(hostile)} of them hostile")
    _compare_pools(rows, workers=options.workers, repeats=options.repeats)


def sample_rows(answers: list[str], *, prompts: int, samples: int, seed: int) -> list[GradedRow]:
    """Draw samples of prompts as described in the module."""
    draw = random.Random(seed)
    weights = [1 / rank for rank in range(1, WRONG + 1)]
    rows = []
    for gold in draw.sample(answers, prompts):
        accuracy, wrong = draw.random(), draw.sample(answers, WRONG)
        for _ in range(samples):
            right = draw.random() < accuracy
            answer = gold if right else draw.choices(wrong, weights)[0]
            text = " ".join(draw.choices(WORDS, k=60))
            rows.append(GradedRow(None, gold, f"{text}. The answer is $\\boxed{{{answer}}}$."))
    return rows


def repeated_share(rows: list[GradedRow]) -> float:
    """Return the share of rows that repeat an earlier answer of their prompt."""
    distinct = {(row.gold_answer, row.text.partition(r"\boxed")[2]) for row in rows}
    return 1 - len(distinct) / len(rows)


def plain(row: GradedRow) -> bool:
    """Call math-verify as its documentation does."""
    from math_verify import parse, verify

    return bool(verify(parse(f"${row.gold_answer}$"), parse(row.text)))


def trl_reward(row: GradedRow) -> bool:
    """Call TRL's accuracy_reward as its trainers do."""
    from trl.rewards import accuracy_reward

    return bool(accuracy_reward([[{"content": row.text}]], [f"${row.gold_answer}$"])[0])


def last_box_as_text(row: GradedRow) -> bool:
    """Compare the last box with the gold answer as text, without space and size commands."""
    texts = [last_boxed(row.text) or "", row.gold_answer]
    for spelling in (" ", r"\!", r"\left", r"\right", r"\$", "$"):
        texts = [text.replace(spelling, "") for text in texts]
    one, other = (text.replace("dfrac", "frac").replace("tfrac", "frac") for text in texts)
    return one == other


def cpu_seconds(judge: Callable[[GradedRow], object], rows: list[GradedRow]) -> float:
    """Return the CPU time of judging rows one after another."""
    started = time.process_time()
    for row in rows:
        judge(row)
    return time.process_time() - started


def _unrepeated(answers: list[str], *, count: int) -> list[GradedRow]:
    """Return sampled rows in which no pair of gold answer and answer occurs twice."""
    rows = sample_rows(answers, prompts=min(len(answers), count), samples=4, seed=0)
    distinct = {(row.gold_answer, row.text.partition(r"\boxed")[2]): row for row in rows}
    return random.Random(0).sample([*distinct.values()], min(count, len(distinct)))


def _gsm8k_rows(data: Path, count: int) -> list[GradedRow]:
    import pyarrow.parquet as pq

    table = pq.read_table(data / "gsm8k_model_solutions.parquet")
    pairs = zip(*(table.column(n).to_pylist() for n in ("gold_answer", "response")), strict=True)
    return random.Random(0).sample([GradedRow(None, gold, text) for gold, text in pairs], count)


def _written_otherwise(data: Path) -> list[GradedRow]:
    """Return cases of other projects' tests, with right answers in other spellings."""
    cases = [json.loads(line) for line in (data / "grader_cases.jsonl").read_text().splitlines()]
    return [GradedRow(None, c["gold"], c["prediction"]) for c in cases if c["kind"] == "math"]


def _compare_rules(grader: str, rows: list[GradedRow], *, of: str, repeats: int) -> None:
    """Print the CPU time of each rule on the same rows."""
    grade = GRADERS[grader].grade
    rules: dict[str, Callable[[GradedRow], object]] = {
        "math-verify": plain,
        grader: lambda row: grade(*row).score == 1.0,
        "the last box as text": last_box_as_text,
    }
    if importlib.util.find_spec("trl"):
        rules["TRL's accuracy_reward"] = trl_reward
    times: dict[str, list[float]] = {name: [] for name in rules}
    for rule in rules.values():
        cpu_seconds(rule, rows[:20])  # imports and compiled patterns
    for _ in range(repeats):
        for name, rule in rules.items():
            math_answers.is_right_remembered.cache_clear()
            times[name].append(cpu_seconds(rule, rows))
    print(f"{len(rows)} {of}, none twice: CPU seconds, and how often as fast as math-verify")
    slow = statistics.median(times["math-verify"])
    for name, seconds in times.items():
        median = statistics.median(seconds)
        print(f"  {name:22s} {median:7.2f} s {slow / median:7.1f}x")


def _compare_cached(rows: list[GradedRow], *, samples: int, repeats: int) -> None:
    cpu_seconds(plain, rows[:20])  # imports and compiled patterns
    plain_times, cached_times = [], []
    for _ in range(repeats):
        plain_times.append(cpu_seconds(plain, rows))
        math_answers.is_right_remembered.cache_clear()
        cached_times.append(cpu_seconds(lambda row: math_answers.math(*row), rows))
    slow, fast = statistics.median(plain_times), statistics.median(cached_times)
    print(
        f"{samples:7d} {len(rows):5d} {repeated_share(rows):8.1%} {slow:16.2f} s {fast:6.2f} s "
        f"{slow / fast:5.1f}x"
    )


def _pairs(answers: list[str], *, count: int) -> list[GradedRow]:
    """Pair answers with others; each pair occurs once, so that no cache helps."""
    return [
        GradedRow(None, gold, rf"\boxed{{{answer}}}")
        for shift in range(1, 1 + -(-count // len(answers)))
        for gold, answer in zip(answers, answers[shift:] + answers[:shift], strict=True)
    ][:count]


def _compare_pools(rows: list[GradedRow], *, workers: int, repeats: int) -> None:
    times: dict[int, list[float]] = {1: [], workers: []}
    for _ in range(repeats):
        for count in times:
            times[count].append(_pool_seconds(rows, workers=count))
    one, many = (statistics.median(times[count]) for count in (1, workers))
    print(
        f"1 process {one:.2f} s, {workers} processes {many:.2f} s: {one / many:.2f}x, "
        f"{one / many / workers:.2f} of {workers}"
    )


def _pool_seconds(rows: list[GradedRow], *, workers: int) -> float:
    with GraderPool("math", workers=workers, cpu_limit_s=5.0, memory_limit_mb=1024) as pool:
        started = time.monotonic()
        statuses = [verdict.status for verdict in pool.grade(rows)]
        seconds = time.monotonic() - started
    failed = sum(status in ("timeout", "error") for status in statuses)
    if failed:
        print(f"  {workers} processes: {failed} rows timed out or failed")
    return seconds


def _math_golds(data: Path) -> list[str]:
    import pyarrow.parquet as pq

    answers = pq.read_table(data / "math_test.parquet").column("answer").to_pylist()
    return sorted({answer for answer in answers if answer})


def _hostile_rows(data: Path) -> list[GradedRow]:
    lines = (data / "pathological_answers.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    return [
        GradedRow(None, row["gold"] or "1", row["prediction"]) for row in rows if row["prediction"]
    ]


def _made_up_golds() -> list[str]:
    draw = random.Random(0)
    forms: list[Callable[[int, int, int], str]] = [
        lambda a, b, c: str(a * b),
        lambda a, b, c: rf"\frac{{{a}}}{{{b}}}",
        lambda a, b, c: rf"{a}\sqrt{{{b}}}",
        lambda a, b, c: f"({a},{b})",
        lambda a, b, c: f"{a}x^2+{b}x-{c}",
        lambda a, b, c: rf"{a}\pi",
        lambda a, b, c: f"{a}, {b}, {c}",
    ]
    made = {draw.choice(forms)(*(draw.randint(2, 99) for _ in range(3))) for _ in range(4_000)}
    return sorted(made)


if __name__ == "__main__":
    main()

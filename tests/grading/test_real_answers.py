"""The graders on real answers and on hostile ones, where a directory of them is given.

`ASYMRL_TEST_DATA` names the directory; without it these tests are skipped.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from asymreinforce.grading.pool.pool import GraderPool
from asymreinforce.grading.verdict import GradedRow, Verdict

DATA = os.environ.get("ASYMRL_TEST_DATA")
pytestmark = pytest.mark.skipif(
    DATA is None or not Path(DATA).is_dir(),
    reason="ASYMRL_TEST_DATA names no directory with real grader cases",
)
ROUNDED_COARSELY = 2
"""Cases of the file in which a gold fraction is answered by a decimal of two to four places."""


def lines(name: str) -> list[dict[str, Any]]:
    path = Path(str(DATA)) / name
    if not path.is_file():
        pytest.skip(f"ASYMRL_TEST_DATA holds no {name}")
    return [json.loads(line) for line in path.read_text().splitlines()]


def columns(name: str, *wanted: str) -> list[list[Any]]:
    import pyarrow.parquet as pq

    path = Path(str(DATA)) / name
    if not path.is_file():
        pytest.skip(f"ASYMRL_TEST_DATA holds no {name}")
    table = pq.read_table(path, columns=list(wanted))
    return [table.column(column).to_pylist() for column in wanted]


def judged(grader: str, rows: list[GradedRow]) -> list[Verdict]:
    with GraderPool(grader, workers=2, cpu_limit_s=20, memory_limit_mb=1024) as pool:
        return list(pool.grade(rows))


@pytest.mark.parametrize("kind", ["math", "gsm8k"])
def test_cases_of_other_projects_agree_and_none_is_a_false_positive(kind: str) -> None:
    cases = [
        case
        for case in lines("grader_cases.jsonl")
        if case["kind"] == kind and "policy-dependent" not in (case["note"] or "")
    ]
    verdicts = judged(kind, [GradedRow(None, case["gold"], case["prediction"]) for case in cases])
    differing = [
        (case["id"], case["expected"])
        for case, verdict in zip(cases, verdicts, strict=True)
        if (verdict.score == 1.0) != case["expected"]
    ]
    assert [case for case, expected in differing if not expected] == []
    assert len(differing) <= ROUNDED_COARSELY
    assert 1 - len(differing) / len(cases) >= 0.97


def test_choices_agree_with_every_case() -> None:
    cases = [case for case in lines("grader_cases.jsonl") if case["kind"] == "mcq"]
    verdicts = judged(
        "multiple_choice", [GradedRow(None, c["gold"], c["prediction"]) for c in cases]
    )
    assert [verdict.score == 1.0 for verdict in verdicts] == [case["expected"] for case in cases]


def test_hostile_answers_are_judged_rightly_in_time_and_run_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cases = lines("pathological_answers.jsonl")
    for case in cases:
        for key in ("gold", "prediction"):
            if case[key] is None:
                case[key] = eval(case[f"{key}_build"])  # the file's own expression, for long ones
    started = time.monotonic()
    verdicts = judged("math", [GradedRow(None, case["gold"], case["prediction"]) for case in cases])
    assert time.monotonic() - started < 120
    assert [verdict.status for verdict in verdicts if verdict.status in ("timeout", "error")] == []
    wrong = [
        case["id"]
        for case, verdict in zip(cases, verdicts, strict=True)
        if case["expected"] is not None and (verdict.score == 1.0) != case["expected"]
    ]
    assert wrong == []
    assert list(tmp_path.iterdir()) == []


def test_every_gold_answer_of_math_equals_itself() -> None:
    golds = [
        gold
        for name in ("math_train.parquet", "math_test.parquet")
        for gold in columns(name, "answer")[0]
        if gold
    ]
    verdicts = judged("math", [GradedRow(None, gold, rf"Thus \boxed{{{gold}}}.") for gold in golds])
    assert len(golds) == 12_498
    missed = [g for g, verdict in zip(golds, verdicts, strict=True) if verdict.score != 1.0]
    assert missed == []


@pytest.mark.parametrize("grader", ["gsm8k", "math"])
def test_labelled_gsm8k_solutions_get_their_labels(grader: str) -> None:
    golds, texts, labels = columns(
        "gsm8k_model_solutions.parquet", "gold_answer", "response", "is_correct"
    )
    verdicts = judged(grader, [GradedRow(None, g, t) for g, t in zip(golds, texts, strict=True)])
    assert len(labels) == 5_276
    assert [verdict.score == 1.0 for verdict in verdicts] == labels

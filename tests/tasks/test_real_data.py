"""GSM8K, MATH and MATH-500 as they are: counts, levels, subjects, both divisions."""

import os
from collections import Counter
from pathlib import Path

import pytest

from asymreinforce import tasks
from asymreinforce.config import parse_config
from asymreinforce.config.task import TaskConfig
from asymreinforce.tasks.question import TaskData
from tests.cli.test_settings import composed
from tests.fixtures.commands import asymrl

DATA = Path(os.environ.get("ASYMRL_TEST_DATA") or "absent")
pytestmark = pytest.mark.skipif(
    not (DATA / "math_test.parquet").exists(),
    reason="ASYMRL_TEST_DATA names no directory with gsm8k_*.parquet and math_*.parquet",
)


def files(name: str) -> list[str]:
    return [
        f"task.sources.train.path={DATA}/{name}_train.parquet",
        f"task.sources.held_out.path={DATA}/{name}_test.parquet",
    ]


def config(*settings: str) -> TaskConfig:
    outcome = asymrl("train", *settings, "train.validation_prompts=0", "--cfg", "job")
    return parse_config(composed(outcome)).task


def sizes(laid: TaskData) -> dict[str, int]:
    return {split: len(found) for split, found in laid.questions.items()}


def test_gsm8k_holds_7473_and_1319_problems_that_share_none() -> None:
    laid = tasks.load_task_data(config("task=gsm8k", *files("gsm8k")))
    assert sizes(laid) == {"train": 7473, "validation": 0, "held_out": 1319}
    assert laid.facts["overlap"]["held_out"] == {"exact": 0, "near": 0}
    by_id = {q.prompt_id: q for q in laid.questions["held_out"]}
    assert by_id["gsm8k-test-00000"].gold_answer == "18"
    assert all("#" not in q.gold_answer for q in by_id.values())


def test_math_as_published_keeps_levels_and_subjects() -> None:
    laid = tasks.load_task_data(config("task=math", *files("math")))
    # two of the 7,500 training rows have no answer
    assert sizes(laid) == {"train": 7498, "validation": 0, "held_out": 5000}
    assert laid.facts["left_out"]["train"] == {"no answer": 2}
    levels = Counter(q.level for q in laid.questions["held_out"])
    assert levels == {
        "Level 1": 437,
        "Level 2": 894,
        "Level 3": 1131,
        "Level 4": 1214,
        "Level 5": 1324,
    }
    subjects = Counter(q.subject for q in laid.questions["held_out"])
    assert len(subjects) == 7 and subjects["Algebra"] == 1187
    assert laid.facts["overlap"]["held_out"] == {"exact": 2, "near": 49}


def test_math_with_math_500_held_out_by_the_column_that_says_so() -> None:
    laid = tasks.load_task_data(config("task=math", "task.division=12000/500", *files("math")))
    assert sizes(laid) == {"train": 11998, "validation": 0, "held_out": 500}
    levels = Counter(q.level for q in laid.questions["held_out"])
    assert levels["Level 5"] == 134 and sum(levels.values()) == 500
    own = tasks.load_task_data(config("task=math500", f"task.path={DATA}/math500.parquet"))
    assert sizes(own) == {"train": 0, "validation": 0, "held_out": 500}
    assert {q.question for q in own.questions["held_out"]} == {
        q.question for q in laid.questions["held_out"]
    }


def test_math_500_is_told_by_its_questions_where_no_column_tells(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    for split in ("train", "test"):
        rows = pq.read_table(DATA / f"math_{split}.parquet")
        columns = ["problem", "level", "subject", "solution"]  # what the hub's copy has
        pq.write_table(rows.select(columns), tmp_path / f"{split}-00000-of-00001.parquet")
    marks = f"task.sources.marks.path={DATA}/math500.parquet"
    laid = tasks.load_task_data(
        config("task=math", "task.division=12000/500", f"task.path={tmp_path}", marks)
    )
    assert sizes(laid) == {"train": 11998, "validation": 0, "held_out": 500}

"""Values from outside become texts as they were written, or are refused, at every border."""

import datetime
import json
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from asymreinforce import tasks
from asymreinforce.config.task import TaskConfig
from asymreinforce.data import contracts, json_rows, parquet_rows
from asymreinforce.data.values import OddValueError, WrittenFloat, json_text, text_of
from asymreinforce.errors import InputError
from tests.fixtures import foreign_files as files

PARTS = [{"type": "text", "text": "How "}, {"type": "text", "text": "many?"}]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("007", "007"),
        ("", ""),
        (None, None),
        (123456789012345678, "123456789012345678"),
        (float("nan"), None),
        (float("-inf"), None),
        (0.1, "0.1"),
        (np.float32(0.1), "0.1"),
        (np.int64(7), "7"),
        (Decimal("1.50"), "1.50"),
        (Decimal("1E+3"), "1000"),
        (Decimal("NaN"), None),
        (Fraction(1, 3), "1/3"),
        (WrittenFloat("1.50"), "1.50"),
        (WrittenFloat("1e400"), "1e400"),
        (PARTS, "How many?"),
    ],
)
def test_a_text_or_a_number_is_written_as_it_stands(value: Any, text: str | None) -> None:
    assert text_of(value) == text


@pytest.mark.parametrize(
    "value",
    [
        True,
        b"bytes",
        datetime.date(2024, 1, 5),
        ["a", "b"],
        {"a": 1},
        {"type": "text", "text": "one part, and no list"},
        [{"type": "image_url", "image_url": "x"}],
        [{"type": "text", "text": 5}],
        1j,
        pytest.param(10**5_000, id="5,001 digits"),
    ],
)
def test_what_is_neither_is_refused(value: Any) -> None:
    with pytest.raises(OddValueError):
        text_of(value)


def test_json_keeps_digits_and_spells_no_value_that_it_does_not_have() -> None:
    values = json_rows.parse_json('{"b": 1.50, "a": [1e400, -0.0, NaN], "c": 12345678901234567890}')
    assert json_text(values) == '{"a": [1e400, -0.0, null], "b": 1.50, "c": 12345678901234567890}'
    assert json_text({"d": Decimal("0.10"), "t": datetime.date(2024, 1, 5)}) == (
        '{"d": 0.10, "t": "2024-01-05"}'
    )
    ordinary = {"x": [1, "é", None, True], "a": {"b": 0.25}}
    assert json_text(ordinary) == json.dumps(ordinary, sort_keys=True)
    nested: Any = []
    for _ in range(5_000):
        nested = [nested]
    with pytest.raises(OddValueError, match="nested too deeply"):
        json_text(nested)


def task_golds(path: Path, **settings: Any) -> list[str]:
    config = TaskConfig.model_validate(
        {"name": "x", "kind": "dataset", "grader": "exact", "train": None, "validation": 0}
        | {"held_out": 0, "path": path}
        | settings
    )
    return [question.gold_answer for question in tasks.load_task_data(config).questions["train"]]


def by_jsonl_task(value: Any, tmp_path: Path, policy: Path) -> list[str]:
    line = json.dumps({"question": "1?", "answer": "VALUE"}).replace('"VALUE"', _json(value))
    (tmp_path / "a.jsonl").write_text(f"{line}\n")
    return task_golds(tmp_path / "a.jsonl")


def by_parquet_task(value: Any, tmp_path: Path, policy: Path) -> list[str]:
    pq.write_table(pa.table({"question": ["1?"], "answer": [value]}), tmp_path / "a.parquet")
    return task_golds(tmp_path / "a.parquet")


def by_verl_task(value: Any, tmp_path: Path, policy: Path) -> list[str]:
    row = {
        "data_source": "x",
        "prompt": [{"role": "user", "content": "1?"}],
        "reward_model": {"ground_truth": value, "style": "rule"},
    }
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "a.parquet")
    return task_golds(tmp_path / "a.parquet")


def by_function(value: Any, tmp_path: Path, policy: Path) -> list[str]:
    from asymreinforce.tasks import user_task

    config = TaskConfig.model_validate(
        {"name": "x", "kind": "m:f", "grader": "exact", "train": 1, "validation": 0, "held_out": 0}
    )
    try:
        return [
            user_task._checked_question(
                {"question": "1?", "gold_answer": value}, config
            ).gold_answer
        ]
    except TypeError as error:
        if "is null" in str(error):
            return []
        raise InputError(f"row 1, column gold_answer: {error}") from error


def by_import(value: Any, tmp_path: Path, policy: Path) -> list[str]:
    row = {"question": "1?", "completion": " Answer: 1", "reward": 1.0, "gold_answer": value}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "a.parquet")
    found = files.bring(tmp_path / "runs", policy, tmp_path / "a.parquet")
    prompts = contracts.read_table(found.prompts.path("train.parquet"), contracts.PROMPTS)
    return [gold for gold in prompts.column("gold_answer").to_pylist() if gold]


def _json(value: Any) -> str:
    return value.written if isinstance(value, WrittenFloat) else json.dumps(value, default=str)


BORDERS: dict[str, Callable[[Any, Path, Path], list[str]]] = {
    "a task's JSON": by_jsonl_task,
    "a task's parquet": by_parquet_task,
    "verl's parquet": by_verl_task,
    "a user's function": by_function,
    "an import": by_import,
}
WRITTEN: dict[str, tuple[Any, list[str]]] = {
    "text": ("007", ["007"]),
    "a large integer": (123456789012345678, ["123456789012345678"]),
    "not finite": (float("nan"), []),
    "null": (None, []),
    "content parts": (PARTS, ["How many?"]),
}


@pytest.mark.parametrize("kind", WRITTEN)
@pytest.mark.parametrize("border", BORDERS)
def test_every_border_writes_a_gold_answer_alike(
    border: str, kind: str, tmp_path: Path, random_policy: Path
) -> None:
    value, golds = WRITTEN[kind]
    if golds:
        assert BORDERS[border](value, tmp_path, random_policy) == golds
    else:
        try:
            assert BORDERS[border](value, tmp_path, random_policy) == []
        except InputError as error:  # no row is left
            assert "nan" not in str(error).lower()


@pytest.mark.parametrize("value", [True, [["a"]], [], {"a": "b"}])
@pytest.mark.parametrize("border", BORDERS)
def test_every_border_refuses_what_has_no_text_with_row_and_column(
    border: str, value: Any, tmp_path: Path, random_policy: Path
) -> None:
    with pytest.raises(
        InputError, match=r"(?s)(row|line) 1.*|gold_answer.*(row|line) 1"
    ) as refused:
        BORDERS[border](value, tmp_path, random_policy)
    assert "answer" in str(refused.value) or "ground_truth" in str(refused.value)


def test_json_of_a_task_keeps_digits_and_texts_that_look_like_dates(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    answers = ["123456789012345678", "1.50", "1e400", '"2024-01-05"', "null"]
    path.write_text(
        "".join(f'{{"question": "{n}?", "answer": {a}}}\n' for n, a in enumerate(answers))
    )
    assert sorted(task_golds(path)) == ["1.50", "123456789012345678", "1e400", "2024-01-05"]


def test_decimals_and_narrow_floats_of_parquet_keep_their_own_digits(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    for column, gold in (
        (pa.array([Decimal("1.50")]), "1.50"),
        (pa.array([0.1], pa.float32()), "0.1"),
    ):
        pq.write_table(pa.table({"question": ["1?"], "answer": column}), path)
        assert task_golds(path) == [gold]


def test_a_question_of_messages_is_a_chat_and_its_last_message_the_question(tmp_path: Path) -> None:
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": PARTS}]
    path = files.jsonl(tmp_path / "a.jsonl", [{"question": chat, "answer": "5"}])
    config = TaskConfig.model_validate(
        {"name": "x", "kind": "dataset", "grader": "exact", "train": None, "validation": 0}
        | {"held_out": 0, "path": path}
    )
    (question,) = tasks.load_task_data(config).questions["train"]
    assert question.question == "How many?"
    assert json.loads(question.metadata or "")["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "How many?"},
    ]
    answered = [*chat, {"role": "assistant", "content": "5"}]
    files.jsonl(path, [{"question": answered, "answer": "5"}])
    with pytest.raises(
        InputError, match="row 1: a prompt is a chat whose last message is of the a"
    ):
        tasks.load_task_data(config)


def test_a_text_that_says_false_marks_no_row(tmp_path: Path) -> None:
    from asymreinforce.tasks import columns

    assert not columns.read_flag({"marked": "False"}, "marked", where="a.csv: row 1")
    assert columns.read_flag({"marked": "1"}, "marked", where="a.csv: row 1")
    with pytest.raises(InputError, match="row 1: the column marked says neither"):
        columns.read_flag({"marked": "perhaps"}, "marked", where="a.csv: row 1")


def test_a_small_parquet_file_that_unpacks_to_gigabytes_is_read_in_bounded_memory(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.parquet"
    text, few = "b" * 4_000_000, [{"role": "user", "content": "c" * 2_000_000}]
    table = pa.table({"text": pa.array([text] * 300).dictionary_encode(), "chat": [few] * 300})
    pq.write_table(table, path, compression="zstd")
    assert path.stat().st_size < 10_000
    said, mebibytes = read_apart(path)
    assert said == "300 rows"
    assert mebibytes < 700  # 1,800 MB as Python objects, and as much in arrow


NESTED: dict[str, Any] = {
    "a list": lambda offsets, values: pa.ListArray.from_arrays(offsets, values),
    "lists in a list": lambda offsets, values: pa.ListArray.from_arrays(
        offsets, pa.ListArray.from_arrays(np.arange(len(values) + 1, dtype=np.int32), values)
    ),
    "lists in an object": lambda offsets, values: pa.StructArray.from_arrays(
        [pa.ListArray.from_arrays(offsets, values)], ["inner"]
    ),
    "an object of any keys": lambda offsets, values: pa.MapArray.from_arrays(
        offsets, values, values
    ),
}


@pytest.mark.parametrize(("kind", "rows"), [("a list", 1), *((kind, 500) for kind in NESTED)])
def test_a_row_of_millions_of_values_from_a_small_file_is_refused_in_bounded_memory(
    tmp_path: Path, kind: str, rows: int
) -> None:
    count = 1 << 25
    path = tmp_path / "a.parquet"
    offsets = pa.array([0, count, *range(count + 1, count + rows)], pa.int32())
    values = pa.array(np.zeros(count + rows - 1, dtype=np.int8))
    table = pa.table({"crowd": NESTED[kind](offsets, values)})
    pq.write_table(table, path, compression="zstd")
    assert path.stat().st_size < 100_000
    said, mebibytes = read_apart(path)
    problem = "unpacks from" if rows == 1 else f"have {count:,} values in the column 'crowd'"
    assert problem in said
    assert mebibytes < 2000  # Arrow copies them: 700 to 1,050; as Python objects they take 4,000


def test_a_column_of_billions_of_values_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    count = 1 << 27
    offsets = pa.array([0, count, *range(count + 1, count + 500)], pa.int32())
    crowd = pa.ListArray.from_arrays(offsets, pa.array(np.zeros(count + 499, dtype=np.int8)))
    pq.write_table(pa.table({"crowd": crowd}), path, compression="zstd")
    said, mebibytes = read_apart(path)
    assert "the column 'crowd.list.element' unpacks from" in said
    assert mebibytes < 100


def read_apart(path: Path) -> tuple[str, int]:
    """Read a file in a process of its own; return what it says, and the memory that it took."""
    script = (
        "import sys, pathlib; from asymreinforce.data import parquet_rows\n"
        "def peak(): return next(int(line.split()[1]) for line in open('/proc/self/status')"
        " if line.startswith('VmHWM'))\n"
        "before = peak()\n"
        "try:\n"
        "    rows, said = 0, ''\n"
        "    for row in parquet_rows.rows(pathlib.Path(sys.argv[1])):\n"
        "        rows, said = rows + 1, said or row.problem\n"
        "    said = said or f'{rows} rows'\n"
        "except ValueError as error:\n"
        "    said = str(error)\n"
        "print(said)\n"
        "print((peak() - before) // 1024)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True
    )
    said, mebibytes = done.stdout.splitlines()
    return said, int(mebibytes)


def test_a_date_that_python_cannot_hold_is_the_problem_of_its_row(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"when": pa.array([0, 2**62], pa.timestamp("us"))}), path)
    first, second = parquet_rows.rows(path)
    assert first.values == {"when": datetime.datetime(1970, 1, 1)}
    assert second.values is None and "out of range in the column 'when'" in second.problem

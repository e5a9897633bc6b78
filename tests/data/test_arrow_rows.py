"""Arrow files and directories that `save_to_disk` wrote: their rows, or a word why not."""

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from asymreinforce import tasks
from asymreinforce.config.task import TaskConfig
from asymreinforce.data import arrow_rows
from asymreinforce.errors import InputError
from asymreinforce.tasks.dataset import read_task_data

datasets = pytest.importorskip("datasets")

ROWS = [{"question": f"What is {n} plus 1?", "answer": f"00{n}", "share": n / 10} for n in range(6)]


def arrow(path: Path, rows: list[dict[str, Any]], *, is_stream: bool) -> Path:
    table = pa.Table.from_pylist(rows)
    new = pa.ipc.new_stream if is_stream else pa.ipc.new_file
    with pa.OSFile(str(path), "wb") as sink, new(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    return path


def config(path: Path, **settings: Any) -> TaskConfig:
    values = {"name": "sums", "kind": "dataset", "grader": "exact", "train": None, "path": path}
    return TaskConfig.model_validate({**values, "validation": 0, "held_out": 0, **settings})


def golds(config: TaskConfig) -> list[str]:
    return sorted(question.gold_answer for question in read_task_data(config).questions["train"])


@pytest.mark.parametrize("is_stream", [True, False])
def test_rows_of_a_file_and_of_a_stream_are_the_same(tmp_path: Path, is_stream: bool) -> None:
    path = arrow(tmp_path / "a.arrow", ROWS, is_stream=is_stream)
    assert [row.values for row in arrow_rows.rows(path)] == ROWS
    assert arrow_rows.count(path) == 6


def test_narrow_floats_keep_their_digits(tmp_path: Path) -> None:
    table = pa.table({"x": pa.array([0.1, None], pa.float32())})
    path = str(tmp_path / "a.arrow")
    with pa.OSFile(path, "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    first, second = arrow_rows.rows(tmp_path / "a.arrow")
    assert first.values and str(first.values["x"]) == "0.1"
    assert second.values == {"x": None}


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = arrow(tmp_path / "a.arrow", ROWS, is_stream=True)
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(InputError, match=r"a\.arrow: not readable as arrow"):
        golds(config(path))


def test_questions_come_from_what_save_to_disk_wrote(tmp_path: Path) -> None:
    whole = datasets.Dataset.from_list(ROWS)
    whole.select([4, 0, 2]).save_to_disk(tmp_path / "some")
    assert golds(config(tmp_path / "some")) == ["000", "002", "004"]
    divided = datasets.DatasetDict({"train": whole.select([1, 3]), "test": whole.select([5])})
    divided.save_to_disk(tmp_path / "splits")
    held_out = {"held_out": {"path": tmp_path / "splits", "split": "test"}}
    laid = read_task_data(config(tmp_path / "splits", held_out=None, sources=held_out))
    assert golds(config(tmp_path / "splits")) == ["001", "003"]
    assert [question.gold_answer for question in laid.questions["held_out"]] == ["005"]
    with pytest.raises(InputError, match=r"without the split dev \(there are: train, test\)"):
        golds(config(tmp_path / "splits", sources={"train": {"split": "dev"}}))


def test_a_saved_data_set_is_whole_and_holds_no_leftovers(tmp_path: Path) -> None:
    place = tmp_path / "saved"
    datasets.Dataset.from_list(ROWS).save_to_disk(place, num_shards=3)
    arrow(place / "cache-0123.arrow", ROWS[:1], is_stream=True)
    assert len(golds(config(place))) == 6
    (place / "data-00001-of-00003.arrow").unlink()
    with pytest.raises(InputError, match=r"1 of its 3 files are not there \(data-00001-of-00003"):
        golds(config(place))


@pytest.mark.parametrize("name", ["../secret.arrow", "/etc/passwd", 7, None])
def test_a_state_that_points_elsewhere_is_refused(tmp_path: Path, name: Any) -> None:
    datasets.Dataset.from_list(ROWS).save_to_disk(tmp_path / "saved")
    state = tmp_path / "saved/state.json"
    state.write_text(json.dumps({"_data_files": [{"filename": name}]}))
    with pytest.raises(InputError, match=r"state\.json: names no data files"):
        golds(config(tmp_path / "saved"))


def test_the_fingerprint_is_of_the_rows_and_not_of_the_place(tmp_path: Path) -> None:
    datasets.Dataset.from_list(ROWS).save_to_disk(tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    one, two = (tasks.task_fingerprints(config(tmp_path / name)) for name in ("one", "two"))
    assert one == two

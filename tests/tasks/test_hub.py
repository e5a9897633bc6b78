"""Hub data sets: `datasets` says which files are a split's, and their values stay as written."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from asymreinforce import tasks
from asymreinforce.config.task import TaskConfig
from asymreinforce.errors import InputError

pytest.importorskip("datasets")

COMMIT = "b" * 40
REMOTE = f"hf://datasets/owner/sums@{COMMIT}/train.jsonl"
LINES = [
    '{"question": "Digits?", "answer": 12345678901234567890123}',
    '{"question": "Decimals?", "answer": 1.2345678901234567890}',
    '{"question": "Trailing?", "answer": 2.50}',
    '{"question": "Zeros?", "answer": "007"}',
    '{"question": "When?", "answer": "2024-05-01"}',
]
GOLDS = {
    "Digits?": "12345678901234567890123",
    "Decimals?": "1.2345678901234567890",
    "Trailing?": "2.50",
    "Zeros?": "007",
    "When?": "2024-05-01",
}


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache of one data set at one commit; there is no network."""
    import datasets
    import huggingface_hub.constants

    for constants in (huggingface_hub.constants, datasets.config):
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "datasets"))
    folder = tmp_path / "hub/datasets--owner--sums"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs/main").write_text(COMMIT)
    snapshot = folder / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    return snapshot


def config(**source: Any) -> TaskConfig:
    values = {"name": "sums", "kind": "dataset", "grader": "exact", "train": None}
    sources = {"train": {"hub": "owner/sums", **source}}
    return TaskConfig.model_validate(values | {"validation": 0, "held_out": 0, "sources": sources})


def golds(config: TaskConfig) -> dict[str, str]:
    return {q.question: q.gold_answer for q in tasks.load_task_data(config).questions["train"]}


@pytest.mark.parametrize(
    "name", ["train.jsonl", "train.json", "data/train-00000-of-00001.jsonl.gz"]
)
def test_numbers_and_texts_of_a_hub_data_set_keep_their_digits(repository: Path, name: str) -> None:
    path = repository / name
    path.parent.mkdir(exist_ok=True)
    text = f"[{', '.join(LINES)}]" if name.endswith(".json") else "\n".join(LINES)
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    assert golds(config()) == GOLDS


def test_tables_of_a_hub_data_set_are_read_as_local_ones(repository: Path) -> None:
    (repository / "train.csv").write_text("question,answer\nZeros?,007\nLong?,1e400\n")
    assert golds(config()) == {"Zeros?": "007", "Long?": "1e400"}
    (repository / "train.csv").unlink()
    narrow = pa.table({"question": ["Tenth?"], "answer": pa.array([0.1], pa.float32())})
    pq.write_table(narrow, repository / "train.parquet")
    assert golds(config()) == {"Tenth?": "0.1"}


def test_the_card_says_which_files_belong_to_a_configuration_and_split(repository: Path) -> None:
    (repository / "README.md").write_text(
        "---\nconfigs:\n- config_name: hard\n  data_files:\n  - split: practice\n"
        "    path: parts/a.jsonl\n  - split: exam\n    path: parts/b.jsonl\n---\n"
    )
    (repository / "parts").mkdir()
    for name, line in (("a", LINES[0]), ("b", LINES[1])):
        (repository / f"parts/{name}.jsonl").write_text(line)
    assert list(golds(config(subset="hard", split="practice"))) == ["Digits?"]
    assert list(golds(config(subset="hard", split="exam"))) == ["Decimals?"]
    both = golds(config(subset="hard", split="practice+exam"))
    assert sorted(both) == ["Decimals?", "Digits?"]


def test_a_cache_that_holds_a_part_of_a_split_is_not_the_split(repository: Path) -> None:
    (repository / "train-00001-of-00003.jsonl").write_text(LINES[0])
    with pytest.raises(InputError, match=r"holds 1 of the 3 files of train\.jsonl"):
        tasks.load_task_data(config())


def test_a_data_set_that_is_to_be_read_in_another_way_is_refused(repository: Path) -> None:
    (repository / "README.md").write_text(
        '---\nconfigs:\n- config_name: default\n  data_files: train.csv\n  sep: ";"\n---\n'
    )
    (repository / "train.csv").write_text("question;answer\n1?;1\n")
    with pytest.raises(InputError, match=r"needs the reading options sep, which are not supported"):
        tasks.load_task_data(config())


def test_files_come_over_the_network_at_the_commit(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets
    from datasets.data_files import DataFilesDict
    from datasets.packaged_modules.json.json import JsonConfig

    (repository / "train.jsonl").write_text("\n".join(LINES))
    asked: list[Any] = []

    class Builder:
        config = JsonConfig(data_files=DataFilesDict({"train": [REMOTE]}))

    def load(*names: Any, **options: Any) -> Builder:
        asked.append((names, options))
        return Builder()

    def download(self: Any, urls: list[str]) -> list[str]:
        asked.append(urls)
        return [str(repository / url.rpartition("/")[2]) for url in urls]

    monkeypatch.setattr(datasets, "load_dataset_builder", load)
    monkeypatch.setattr(datasets.DownloadManager, "download", download)
    assert golds(config(revision=COMMIT)) == GOLDS
    assert asked == [
        (("owner/sums", None), {"revision": COMMIT}),
        [REMOTE],
    ]
    with pytest.raises(InputError, match=r"no split test \(there are: train\)"):
        tasks.load_task_data(config(revision=COMMIT, split="test"))


def test_a_directory_that_lacks_a_numbered_file_is_refused(tmp_path: Path) -> None:
    for number in (0, 2):
        rows = json.dumps({"question": f"{number}?", "answer": "1"})
        (tmp_path / f"train-0000{number}-of-00003.jsonl").write_text(rows)
    with pytest.raises(
        InputError, match=r"2 of the 3 files of train\.jsonl \(numbers 00000, 00002"
    ):
        tasks.load_task_data(config(path=tmp_path))
    named = config(path=tmp_path / "train-00000-of-00003.jsonl")
    assert golds(named) == {"0?": "1"}

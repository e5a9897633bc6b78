"""Data sets as tasks: files of every kind, columns by name, splits, and what is left out."""

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from asymreinforce import tasks
from asymreinforce.config.task import TaskConfig
from asymreinforce.errors import ConfigError, InputError

ROWS = [{"question": f"What is {n} + {n}?", "answer": f"0{2 * n}"} for n in range(10)]


def config(path: Path | None = None, **settings: Any) -> TaskConfig:
    values = {
        "name": "sums",
        "kind": "dataset",
        "grader": "exact",
        "train": None,
        "validation": 0,
        "held_out": 2,
        "path": path,
    }
    return TaskConfig.model_validate(values | settings)


def jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def as_csv(path: Path, rows: list[dict[str, Any]], delimiter: str = ",") -> Path:
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


def as_tsv(path: Path, rows: list[dict[str, Any]]) -> Path:
    return as_csv(path, rows, "\t")


def golds(config: TaskConfig) -> dict[str, str]:
    laid = tasks.load_task_data(config)
    return {q.question: q.gold_answer for part in laid.questions.values() for q in part}


@pytest.mark.parametrize(
    ("write", "name"),
    [(jsonl, "a.jsonl"), (parquet, "a.parquet"), (as_csv, "a.csv"), (as_tsv, "a.tsv")],
)
def test_every_kind_of_file_gives_the_same_questions(write: Any, name: str, tmp_path: Path) -> None:
    path = write(tmp_path / name, ROWS)
    assert golds(config(path)) == {row["question"]: row["answer"] for row in ROWS}


def test_columns_are_named_and_dots_reach_into_structs(tmp_path: Path) -> None:
    rows = [
        {"text": "1?", "gold": {"final": 1}, "hard": 5, "field": "sums", "id": 7},
        {"text": "2?", "gold": {"final": 2}, "hard": 1, "field": "more", "id": 8},
    ]
    names = {"question": "text", "answer": "gold.final", "level": "hard", "subject": ["x", "field"]}
    settings = config(jsonl(tmp_path / "a.jsonl", rows), columns=names, held_out=0)
    found = sorted(tasks.load_task_data(settings).questions["train"])
    assert [tuple(question[:5]) for question in found] == [
        ("sums-train-7", "1?", "1", "Level 5", "sums"),
        ("sums-train-8", "2?", "2", "Level 1", "more"),
    ]


def test_a_column_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", [{"text": "1?", "answer": "1"}])
    with pytest.raises(InputError, match=r"no question \(looked for the column question, problem;"):
        tasks.load_task_data(config(path))
    settings = config(path, columns={"question": "text", "answer": "gold"})
    with pytest.raises(InputError, match=r"there are text, answer\).*task\.columns\.answer="):
        tasks.load_task_data(settings)


def test_rows_without_an_answer_are_left_out_and_counted(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        *ROWS,
        {"question": "proof?", "answer": "Proof"},
        {"question": "none?", "answer": None},
    ]
    laid = tasks.load_task_data(config(jsonl(tmp_path / "a.jsonl", rows), no_answers=["proof"]))
    assert laid.facts["left_out"] == {"train": {"no answer": 2}}
    assert laid.lines == ["train: 2 of 12 rows left out (no answer)"]
    assert sum(len(part) for part in laid.questions.values()) == 10


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([{"question": "1?", "answer": None}] * 3, "no answer 3"),
        ([{"question": " ", "answer": "1"}] * 2, "no question 2"),
    ],
)
def test_a_file_all_of_whose_rows_are_left_out_is_refused_with_the_reasons(
    tmp_path: Path, rows: list[dict[str, Any]], reason: str
) -> None:
    path = jsonl(tmp_path / "a.jsonl", rows)
    with pytest.raises(InputError, match=rf"each of its {len(rows)} rows is left out \({reason}\)"):
        tasks.load_task_data(config(path, validation=None))


def test_a_question_that_comes_with_another_answer_again_is_warned_of(tmp_path: Path) -> None:
    again = [{"question": "What is 0 + 0?", "answer": "1"}, ROWS[1]]
    laid = tasks.load_task_data(config(jsonl(tmp_path / "a.jsonl", [*ROWS, *again])))
    assert laid.facts["contradicted"] == {"train": 1}
    warning = "warning: train: 1 rows repeat a question with another gold answer"
    assert [line for line in laid.lines if line.startswith(warning)]
    assert (
        "contradicted" not in tasks.load_task_data(config(jsonl(tmp_path / "b.jsonl", ROWS))).facts
    )


def test_the_answer_stands_after_its_marker_or_in_the_last_box_of_the_solution(
    tmp_path: Path,
) -> None:
    marked = jsonl(tmp_path / "a.jsonl", [{"question": "1?", "answer": "3-2=1\n#### 1,000"}])
    assert golds(config(marked, answer_marker="####", held_out=0)) == {"1?": "1,000"}
    solutions = [
        {"question": "a?", "solution": r"\boxed{3} no, \boxed{\frac{1}{2}}."},
        {"question": "b?", "solution": r"so $x = \boxed 9$."},
        {"question": "c?", "solution": "I do not know"},
    ]
    boxed = jsonl(tmp_path / "b.jsonl", solutions)
    assert golds(config(boxed, held_out=0)) == {"a?": r"\frac{1}{2}", "b?": "9"}


def test_where_keeps_rows_by_the_values_of_a_column(tmp_path: Path) -> None:
    rows = [{**row, "valid": n % 2 == 0} for n, row in enumerate(ROWS)]
    for path in (jsonl(tmp_path / "a.jsonl", rows), as_csv(tmp_path / "a.csv", rows)):
        sources = {"train": {"where": {"valid": True}}}
        laid = tasks.load_task_data(config(path, sources=sources))
        assert laid.facts["left_out"] == {"train": {"where": 5}}
    with pytest.raises(InputError, match="no column kept, which 'where' asks for"):
        tasks.load_task_data(config(path, sources={"train": {"where": {"kept": [1]}}}))


def test_splits_without_a_source_are_kept_back_from_training(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", ROWS)
    laid = tasks.load_task_data(config(path, held_out=3, validation=2))
    assert [len(laid.questions[s]) for s in ("train", "validation", "held_out")] == [5, 2, 3]
    assert len({q.question for part in laid.questions.values() for q in part}) == 10
    fewer = tasks.load_task_data(config(path, held_out=3, validation=2, train=1))
    assert fewer.questions["train"] == laid.questions["train"][:1]
    assert fewer.questions["held_out"] == laid.questions["held_out"]
    other = tasks.load_task_data(config(path, held_out=3, validation=2, seed=1))
    assert other.questions["held_out"] != laid.questions["held_out"]
    with pytest.raises(ConfigError, match=r"no source for held_out; set task\.held_out=N"):
        tasks.load_task_data(config(path, held_out=None))
    message = r"2 questions are left to keep back, and task\.validation=3 asks for more"
    with pytest.raises(ConfigError, match=message):
        tasks.load_task_data(config(path, held_out=8, validation=3))
    with pytest.raises(ConfigError, match="has 5 questions for train, not 6"):
        tasks.load_task_data(config(path, held_out=3, validation=2, train=6))


def test_a_directory_is_read_as_the_hub_lays_it_out(tmp_path: Path) -> None:
    parquet(tmp_path / "main/train-00000-of-00002.parquet", ROWS[:4])
    parquet(tmp_path / "main/train-00001-of-00002.parquet", ROWS[4:8])
    parquet(tmp_path / "main/test-00000-of-00001.parquet", ROWS[8:])
    parquet(tmp_path / "socratic/train-00000-of-00001.parquet", [{"question": "no", "answer": "1"}])
    hub = {"hub": "owner/sums", "subset": "main"}
    sources = {"train": {**hub, "split": "train"}, "held_out": {**hub, "split": "test"}}
    laid = tasks.load_task_data(config(tmp_path, sources=sources, held_out=None))
    assert [len(laid.questions[split]) for split in ("train", "held_out")] == [8, 2]
    assert {q.question for q in laid.questions["held_out"]} == {r["question"] for r in ROWS[8:]}


def test_a_directory_that_could_mean_two_files_is_refused(tmp_path: Path) -> None:
    jsonl(tmp_path / "gsm8k_train.jsonl", ROWS)
    jsonl(tmp_path / "math_train.jsonl", ROWS)
    with pytest.raises(InputError, match=r"may be any of gsm8k_train\.jsonl, math_train\.jsonl"):
        tasks.load_task_data(config(tmp_path))
    settings = config(tmp_path, sources={"train": {"split": "dev"}})
    with pytest.raises(InputError, match=r"no file of the split dev \(there are: gsm8k_train"):
        tasks.load_task_data(settings)


def test_questions_that_are_equal_keep_their_own_ids(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", [*ROWS, ROWS[0]])
    laid = tasks.load_task_data(config(path, held_out=0, overlap={"action": "report"}))
    ids = [question.prompt_id for question in laid.questions["train"]]
    assert len(set(ids)) == 11 and sum(name.endswith("-2") for name in ids) == 1
    assert laid.facts["overlap"]["repeats_within_train"] == 1


@pytest.mark.parametrize(("drop", "left"), [("exact", 4), ("near", 3)])
def test_training_questions_that_are_evaluated_are_counted_or_dropped(
    drop: str, left: int, tmp_path: Path
) -> None:
    long = "A train leaves the station at noon and runs for 3 hours at 80 km per hour, how far"
    train = [{"question": f"Other {n}?", "answer": "1"} for n in range(3)]
    train += [
        {"question": f"{long}?", "answer": "240"},
        {"question": "what  IS this?", "answer": "1"},
    ]
    tested = [
        {"question": f"{long} is it?", "answer": "240"},
        {"question": "What is this?", "answer": "1"},
    ]
    sources = {
        "train": {"path": jsonl(tmp_path / "train.jsonl", train)},
        "held_out": {"path": jsonl(tmp_path / "test.jsonl", tested)},
    }
    settings: dict[str, Any] = {"sources": sources, "held_out": None}
    reported = tasks.load_task_data(config(**settings, overlap={"action": "report"}))
    assert reported.facts["overlap"]["held_out"] == {"exact": 1, "near": 1}
    assert len(reported.questions["train"]) == 5
    assert any("1 training questions are held_out" in line for line in reported.lines)
    dropped = tasks.load_task_data(config(**settings, overlap={"action": "drop", "drop": drop}))
    assert len(dropped.questions["train"]) == left
    assert dropped.facts["overlap"]["dropped"] == 5 - left


def verl_row(index: int) -> dict[str, Any]:
    return {
        "data_source": "openai/gsm8k",
        "prompt": [{"role": "user", "content": f"What is {index}? Answer after ####."}],
        "ability": "math",
        "reward_model": {"style": "rule", "ground_truth": str(index)},
        "extra_info": {"split": "train", "index": index, "answer": "long"},
    }


def test_verls_prompt_parquet_is_read_as_it_is(tmp_path: Path) -> None:
    path = parquet(tmp_path / "train.parquet", [verl_row(index) for index in range(3)])
    found = sorted(tasks.load_task_data(config(path, held_out=0)).questions["train"])
    first = found[0]
    assert [q.prompt_id for q in found] == [f"openai/gsm8k-train-{n}" for n in range(3)]
    assert (first.question, first.gold_answer) == ("What is 0? Answer after ####.", "0")
    assert first.subject == "openai/gsm8k" and first.metadata
    kept = json.loads(first.metadata)
    assert kept["messages"] == verl_row(0)["prompt"]
    assert kept["extra_info"] == {"split": "train", "index": 0, "answer": "long"}


def test_a_list_of_answers_is_one_gold_answer_and_its_alternatives(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"question": "1?", "answer": ["1/2", " 0.5 ", "1/2", None]},
        {"question": "2?", "answer": ["7"]},
        {"question": "3?", "answer": ["proof"]},
    ]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = tasks.load_task_data(config(path, held_out=0, no_answers=["proof"])).questions["train"]
    assert {(q.question, q.gold_answer, q.metadata) for q in found} == {
        ("1?", "1/2", '{"gold_answers": ["1/2", "0.5"]}'),
        ("2?", "7", None),
    }
    verls = [verl_row(0) | {"reward_model": {"ground_truth": ["0", "zero"], "style": "rule"}}]
    (first,) = tasks.load_task_data(
        config(parquet(tmp_path / "b.parquet", verls), held_out=0)
    ).questions["train"]
    assert first.gold_answer == "0" and first.metadata
    assert json.loads(first.metadata)["gold_answers"] == ["0", "zero"]


def damaged(path: Path) -> Path:
    path.write_bytes(b"PAR1 no such thing")
    return path


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.jsonl: no such file or directory"):
        tasks.load_task_data(config(tmp_path / "absent.jsonl"))
    with pytest.raises(InputError, match=r"a\.parquet: not readable as parquet"):
        tasks.load_task_data(config(damaged(tmp_path / "a.parquet")))
    (tmp_path / "a.jsonl").write_text('{"question": "1?"')
    with pytest.raises(InputError, match=r"a\.jsonl: not readable as json"):
        tasks.load_task_data(config(tmp_path / "a.jsonl"))
    (tmp_path / "a.docx").write_text("words")
    with pytest.raises(InputError, match=r"must be of one kind, one of \.parquet"):
        tasks.load_task_data(config(tmp_path / "a.docx"))
    with pytest.raises(ConfigError, match=r"nothing to read; set task\.path=FILE"):
        tasks.task_fingerprints(config())


def test_without_a_network_the_message_says_how_to_get_a_copy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    commit = "0" * 40
    hub = {"hub": "owner/sums", "revision": commit}
    with pytest.raises(InputError) as refused:
        tasks.load_task_data(config(sources={"train": hub}))
    for words in (
        "owner/sums cannot be fetched",
        f"hf download owner/sums --repo-type dataset --revision {commit} --local-dir sums",
        "task.path=sums",
    ):
        assert words in str(refused.value)


def test_a_commit_is_pinned_and_a_branch_is_resolved_by_the_hubs_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    pinned = config(sources={"train": {"hub": "owner/sums", "revision": "a" * 40}})
    assert tasks.task_fingerprints(pinned)["train"]["revision"] == "a" * 40
    branch = config(sources={"train": {"hub": "owner/sums", "revision": "dev"}})
    with pytest.raises(InputError, match="owner/sums cannot be fetched"):
        tasks.task_fingerprints(branch)
    ref = tmp_path / "datasets--owner--sums/refs/dev"
    ref.parent.mkdir(parents=True)
    ref.write_text("b" * 40)
    assert tasks.task_fingerprints(branch)["train"]["revision"] == "b" * 40


def test_the_fingerprint_follows_the_contents_and_not_the_place(tmp_path: Path) -> None:
    first = tasks.task_fingerprints(config(jsonl(tmp_path / "a.jsonl", ROWS)))
    assert tasks.task_fingerprints(config(jsonl(tmp_path / "other/b.jsonl", ROWS))) == first
    assert tasks.task_fingerprints(config(jsonl(tmp_path / "a.jsonl", ROWS[1:]))) != first

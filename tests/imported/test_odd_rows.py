"""Rows that mean null, files of older layouts, and columns that are left out."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from asymreinforce.data import contracts
from asymreinforce.errors import ConfigError, InputError
from tests.fixtures import foreign_files as files


def test_an_empty_list_of_completions_is_counted(tmp_path: Path, random_policy: Path) -> None:
    rows = files.rows(prompts=2, policies=("mu",))
    values: list[Any] = [[], [[]]]
    empty = [rows[0] | {"completion": v, "sample": 90 + n} for n, v in enumerate(values)]
    path = files.jsonl(tmp_path / "a.jsonl", [*rows, *empty])
    facts = files.facts(files.bring(tmp_path / "runs", random_policy, path))
    assert facts.rows == 2
    assert facts.skipped == {"have an empty completion": 2}


@pytest.mark.parametrize("write", [files.jsonl, files.parquet])
def test_a_reward_that_is_not_finite_is_null_and_counted(
    write: object, tmp_path: Path, random_policy: Path
) -> None:
    rows = [r | {"reward": 1.0} for r in files.rows(prompts=2, policies=("mu",))]
    rows[0]["reward"] = float("nan")
    path = tmp_path / ("a.jsonl" if write is files.jsonl else "a.parquet")
    assert callable(write)
    found = files.bring(tmp_path / "runs", random_policy, write(path, rows))
    assert files.facts(found).skipped == {"have a reward that is not finite; it is read as null": 1}
    verdicts = files.read(found.verdicts, contracts.VERDICTS)
    assert [(v["status"], v["score"]) for v in verdicts] == [("error", None), ("ok", 1.0)]


def test_content_parts_of_question_and_completion_are_joined(
    tmp_path: Path, random_policy: Path
) -> None:
    (row,) = files.rows(prompts=1, policies=("mu",))
    parts = [{"type": "text", "text": " Answer:"}, {"type": "text", "text": " 1"}]
    question = [{"type": "text", "text": row["question"]}]
    chat = [{"role": "user", "content": question}]
    path = files.jsonl(
        tmp_path / "a.jsonl",
        [
            row | {"completion": parts, "question": question},
            row | {"completion": parts, "question": chat, "sample": 99},
        ],
    )
    found = files.bring(tmp_path / "runs", random_policy, path)
    assert [r["text"] for r in files.rollouts(found)] == [" Answer: 1"] * 2
    prompts = contracts.read_table(found.prompts.path("train.parquet"), contracts.PROMPTS)
    assert set(prompts.column("question").to_pylist()) == {row["question"]}


def test_metadata_keeps_the_digits_of_the_file(tmp_path: Path, random_policy: Path) -> None:
    (row,) = files.rows(prompts=1, policies=("mu",))
    line = json.dumps(row)[:-1] + ', "metadata": {"b": 1.50, "a": [NaN, 123456789012345678901]}}'
    found = files.bring(tmp_path / "runs", random_policy, files.jsonl(tmp_path / "a.jsonl", [line]))
    prompts = contracts.read_table(found.prompts.path("train.parquet"), contracts.PROMPTS)
    assert prompts.column("metadata").to_pylist() == [
        '{"a": [null, 123456789012345678901], "b": 1.50}'
    ]


def test_the_older_layout_of_lm_eval_is_one_indented_array(
    tmp_path: Path, random_policy: Path
) -> None:
    rows = [
        {
            "doc_id": n,
            "doc": {"question": f"{n}?"},
            "target": "5",
            "arguments": [[f"Question: {n}?", {"until": ["\n"]}]],
            "resps": [[" Answer: 5"]],
            "filtered_resps": ["5"],
            "exact_match": 1.0,
        }
        for n in range(3)
    ]
    for name in ("samples_x.jsonl", "samples_x.json"):
        path = tmp_path / name / "org__model" / name
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(rows, indent=2))
        for source in (path, path.parent):
            found = files.bring(tmp_path / "runs", random_policy, source, source__format="lm_eval")
            assert [r["text"] for r in files.rollouts(found)] == [" Answer: 5"] * 3
            assert files.facts(found).policies == {"org__model": 3}


def test_a_log_of_trl_asks_for_its_format(tmp_path: Path, random_policy: Path) -> None:
    row = {"step": 1, "prompt": "1?", "completion": " Answer: 1", "reward": 1.0, "advantage": 0.0}
    path = files.parquet(tmp_path / "completions_00001.parquet", [row])
    with pytest.raises(InputError, match=r"TRL's logs of completions .*set source\.format=trl"):
        files.bring(tmp_path / "runs", random_policy, path)
    for format_ in ("trl", "parquet"):
        found = files.bring(tmp_path / "runs", random_policy, path, source__format=format_)
        assert files.facts(found).rows == 1


def test_a_field_can_be_left_out(tmp_path: Path, random_policy: Path) -> None:
    (row,) = files.rows(prompts=1, policies=("mu",))
    path = files.jsonl(tmp_path / "a.jsonl", [row | {"logprobs": [-1.0], "level": ["a", "b"]}])
    with pytest.raises(InputError, match="log-probabilities, but no token ids"):
        files.bring(tmp_path / "runs", random_policy, path)
    found = files.bring(tmp_path / "runs", random_policy, path, source__ignore=["logps", "level"])
    assert files.facts(found).with_logps == 0
    with pytest.raises(ConfigError, match=r"no field 'logprobs'; there are .*logps"):
        files.bring(tmp_path / "runs", random_policy, path, source__ignore=["logprobs"])


def test_a_broken_deflate_block_is_named(tmp_path: Path, random_policy: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    content = bytearray(gzip.compress(b'{"question": "1?"}\n' * 2000))
    content[20:30] = b"\xff" * 10
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.jsonl\.gz: not readable"):
        files.bring(tmp_path / "runs", random_policy, path)

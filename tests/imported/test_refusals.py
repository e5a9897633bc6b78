"""Import: rows, files and settings that it refuses or passes over, with their count and place."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from asymreinforce.config import parse_config
from asymreinforce.errors import ConfigError, InputError
from asymreinforce.experiment.inputs import imported
from asymreinforce.model.checkpoint import load_model, load_tokenizer
from tests.fixtures import foreign_files as files
from tests.fixtures.experiments import small_config, small_values

BAD: dict[str, tuple[Callable[[list[Any]], None], str]] = {
    "invalid JSON": (
        lambda rows: rows.__setitem__(3, '{"question": "a", '),
        r"1 rows are not valid JSON .*\(a\.jsonl line 4\)",
    ),
    "a list instead of an object": (
        lambda rows: rows.__setitem__(3, [1, 2]),
        r"no object with named values \(a\.jsonl line 4\)",
    ),
    "no completion": (  # type: ignore[dict-item]
        lambda rows: [rows[i].pop("completion") for i in (1, 3, 4, 5, 7)],
        r"5 rows have no completion \(a\.jsonl line 2, a\.jsonl line 4, a\.jsonl line 5, \.\.\.\)",
    ),
    "no question": (lambda rows: rows[0].pop("question"), r"1 rows have no question"),
    "a completion that is a number": (
        lambda rows: rows[0].update(completion=3),
        "1 rows have a completion of type int",
    ),
    "another question under one id": (  # type: ignore[dict-item]
        lambda rows: [row.update(prompt_id="same") for row in rows[:2]],
        r"1 rows have the prompt id of another prompt \(a\.jsonl line 2\)",
    ),
    "two gold answers": (
        lambda rows: rows[6].update(gold_answer="7"),
        "1 rows have another gold answer than an earlier row",
    ),
    "no gold answer": (  # type: ignore[dict-item]
        lambda rows: [row.pop("gold_answer") for row in rows],
        r"neither a gold answer nor rewards.*\n.*source\.columns\.gold_answer",
    ),
    "a reward that is no number": (lambda rows: rows[0].update(reward="yes"), "no number"),
    "a reward beyond any scale": (
        lambda rows: rows[0].update(reward=1e308),
        r"1 rows have a reward beyond 1e\+09",
    ),
    "a reward of 400 digits": (
        lambda rows: rows[0].update(reward=10**400),
        r"1 rows have a reward beyond 1e\+09",
    ),
    "a log-probability of 400 digits": (
        lambda rows: rows[0].update(completion_ids=[5], logprobs=[-(10**400)]),
        "log-probabilities that are out of range",
    ),
    "a key that appears twice": (
        lambda rows: rows.__setitem__(3, '{"question": "a", "question": "b", "completion": "c"}'),
        r"1 rows are not valid JSON \(the key 'question' appears twice",
    ),
    "messages that are no objects": (
        lambda rows: rows[0].update(question=[{"role": "user", "content": "a"}, "b"]),
        r"a chat whose message 2 is a str, not an object \(a\.jsonl line 1\)",
    ),
    "a content part that is no text": (
        lambda rows: rows[0].update(question=[{"type": "image_url", "image_url": "x"}]),
        "a question that is a content with a part of type 'image_url'",
    ),
    "a gold answer that is a list of lists": (
        lambda rows: rows[0].update(gold_answer=["1", ["2"]]),
        r"a gold_answer that is a list, not a text or a number \(a\.jsonl line 1\)",
    ),
    "a gold answer that is a truth value": (
        lambda rows: rows[0].update(gold_answer=True),
        "a gold_answer that is a truth value",
    ),
    "a policy that is a truth value": (lambda rows: rows[0].update(policy=True), "truth value"),
    "lists of different lengths": (
        lambda rows: rows[0].update(completion=["a", "b"], completion_ids=[[5], [6], [7]]),
        "another number of completions than of lists of token ids",
    ),
    "an unknown finish reason": (
        lambda rows: rows[0].update(finish_reason="content_filter"),
        "a finish reason that is not known, such as 'content_filter'",
    ),
    "log-probabilities without token ids": (
        lambda rows: rows[0].update(logprobs=[-1.0]),
        "have log-probabilities, but no token ids",
    ),
    "one key with two texts": (
        lambda rows: rows[6].update(policy="small", sample=0),
        "1 rows have the prompt, policy and sample of another row, and another text",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_rows_are_refused_with_their_count_and_place(
    tmp_path: Path, random_policy: Path, case: str
) -> None:
    damage, message = BAD[case]
    rows = files.rows(prompts=6)
    damage(rows)
    path = files.jsonl(tmp_path / "a.jsonl", rows)
    with pytest.raises(InputError, match=rf"(?s)a\.jsonl: of \d+ rows\n.*{message}"):
        files.bring(tmp_path / "runs", random_policy, path)
    assert [p for p in (tmp_path / "runs").rglob("*") if p.is_file()] == []


TOKENS: dict[str, tuple[dict[str, Any], str]] = {
    "another number of logps": ({"logprobs": [-1.0]}, "another number of log-probabilities"),
    "a logp that is NaN": ({"logprobs": [-1.0, float("nan")]}, "not finite"),
    "a logp that is infinite": ({"logprobs": [-1.0, float("-inf")]}, "not finite"),
    "a logp that is null": ({"logprobs": [-1.0, None]}, "is null"),
    "probabilities": ({"logprobs": [0.5, 0.9]}, r"above 0 \(probabilities, perhaps\)"),
    "an id outside the vocabulary": (
        {"completion_ids": [5, 294]},
        "token ids outside the checkpoint's 291",
    ),
    "a negative id": ({"completion_ids": [5, -1]}, "negative or impossible token ids"),
    "ids that are texts": ({"completion_ids": ["5"]}, "not a list of numbers"),
    "a prompt id outside the vocabulary": ({"prompt_ids": [9999]}, "prompt token ids outside"),
    "an empty prompt": ({"prompt_ids": []}, "an empty prompt"),
}


@pytest.mark.parametrize("case", TOKENS)
def test_bad_tokens_are_refused(tmp_path: Path, random_policy: Path, case: str) -> None:
    change, message = TOKENS[case]
    row = {"prompt_ids": [5], "completion_ids": [6, 7], "gold_answer": "1"} | change
    with pytest.raises(InputError, match=rf"1 rows have .*{message}"):
        files.bring(tmp_path / "runs", random_policy, files.jsonl(tmp_path / "a.jsonl", [row]))


def test_rows_beyond_the_context_are_passed_over_and_counted_or_refused(
    tmp_path: Path, random_policy: Path
) -> None:
    rows = files.rows(prompts=4, policies=("mu",))
    rows[1]["completion"] = " 1" * 70
    path = files.jsonl(tmp_path / "a.jsonl", rows)
    found = files.bring(tmp_path / "runs", random_policy, path)
    facts = files.facts(found)
    assert (facts.rows, facts.prompts) == (3, 3)
    assert facts.skipped == {"are longer than the context of 64 tokens": 1}
    with pytest.raises(InputError, match="1 rows are longer than the context of 64 tokens"):
        files.bring(tmp_path / "runs", random_policy, path, source__too_long="refuse")
    for row in rows:
        row["completion"] = " 1" * 70
    with pytest.raises(InputError, match=r"no row is left.*raise policy\.context"):
        files.bring(tmp_path / "runs", random_policy, files.jsonl(path, rows))


def test_repeated_rows_and_empty_completions_are_passed_over_and_counted(
    tmp_path: Path, random_policy: Path
) -> None:
    rows = files.rows(prompts=2)
    empty = rows[0] | {"completion": "", "finish_reason": "length", "sample": 99}
    path = files.jsonl(tmp_path / "a.jsonl", [*rows, rows[2], rows[3], empty])
    facts = files.facts(files.bring(tmp_path / "runs", random_policy, path))
    assert facts.rows == 6
    assert facts.skipped == {"repeat another row": 2, "have an empty completion": 1}


def test_equal_completions_without_a_number_of_their_own_are_all_kept(
    tmp_path: Path, random_policy: Path
) -> None:
    """Two samples of a policy may well say the same."""
    (row,) = files.rows(prompts=1, policies=("mu",))
    del row["sample"]
    path = files.jsonl(tmp_path / "a.jsonl", [row, row, row])
    assert files.facts(files.bring(tmp_path / "runs", random_policy, path)).rows == 3


def test_texts_that_do_not_come_back_are_counted_with_an_example(
    tmp_path: Path, random_policy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokenizer = load_tokenizer(random_policy)
    rows = files.rows(prompts=3, policies=("mu",))
    rows[1] |= {"completion": " Answer: 2", "completion_ids": tokenizer.encode(" Answer: 3")}
    path = files.jsonl(tmp_path / "a.jsonl", rows)
    facts = files.facts(files.bring(tmp_path / "runs", random_policy, path))
    assert (facts.rows, facts.round_trip_mismatches) == (3, 1)
    printed = capsys.readouterr().err
    assert "the tokens of 1 rows do not decode to their text; a.jsonl line 2" in printed
    assert "' Answer: 2' became ' Answer: 3'" in printed


def test_a_column_that_is_named_and_absent_lists_those_there_are(
    tmp_path: Path, random_policy: Path
) -> None:
    path = files.jsonl(tmp_path / "a.jsonl", files.rows())
    with pytest.raises(InputError, match=r"no row has the column 'p' \(reward\); it has question"):
        files.bring(tmp_path / "runs", random_policy, path, source__columns={"reward": "p"})
    renamed = [{"a": row["question"], "b": row["completion"], "c": "1"} for row in files.rows()]
    other = files.jsonl(tmp_path / "b.jsonl", renamed)
    with pytest.raises(InputError, match=r"no column for the question \(tried question, problem"):
        files.bring(tmp_path / "runs", random_policy, other)
    columns = {"question": "a", "completion": "b", "gold_answer": "c"}
    found = files.bring(tmp_path / "runs", random_policy, other, source__columns=columns)
    assert files.facts(found).rows == 18


def test_a_source_that_cannot_be_read_says_why(tmp_path: Path, random_policy: Path) -> None:
    def refused(path: Path, error: type[Exception], message: str, **more: Any) -> None:
        with pytest.raises(error, match=message):
            files.bring(tmp_path / "runs", random_policy, path, **more)

    refused(tmp_path / "absent.jsonl", InputError, "no such file or directory; set source.path")
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    refused(empty, InputError, "holds no rows")
    text = tmp_path / "notes.txt"
    text.write_text("hello")
    refused(text, ConfigError, r"its ending is none of those.*\.parquet")
    refused(empty, ConfigError, r"source\.format=parquet", source__format="parquet")
    broken = files.parquet(tmp_path / "a.parquet", files.rows())
    broken.write_bytes(broken.read_bytes()[:500])
    refused(broken, InputError, "not readable")
    (tmp_path / "directory").mkdir()
    refused(tmp_path / "directory", InputError, r"holds no \*\.jsonl")


def test_a_format_that_is_not_known_is_refused_with_those_there_are(
    tmp_path: Path, random_policy: Path
) -> None:
    values = small_values(tmp_path, policy=random_policy, source__format="xlsx")
    with pytest.raises(
        ConfigError, match=r"source\.format.*'parquet', 'csv', 'arrow', 'trl', 'verl'"
    ):
        parse_config(values)


def test_import_without_a_path_says_what_it_needs(tmp_path: Path, random_policy: Path) -> None:
    with pytest.raises(ConfigError, match=r"asymrl import needs source\.path"):
        imported.run_import(small_config(tmp_path / "runs", policy=random_policy))


def test_a_policy_of_pickled_weights_serves_where_these_are_allowed(
    tmp_path: Path, random_policy: Path
) -> None:
    policy = tmp_path / "pickled"
    shutil.copytree(random_policy, policy)
    torch.save(load_model(policy).state_dict(), policy / "pytorch_model.bin")
    (policy / "model.safetensors").unlink()
    path = files.jsonl(tmp_path / "a.jsonl", files.rows())
    with pytest.raises(InputError, match=r"policy\.safetensors_only=false reads its pickled ones"):
        files.bring(tmp_path / "runs", policy, path)
    allowed = files.bring(tmp_path / "runs", policy, path, policy__safetensors_only=False)
    assert files.facts(allowed).rows == len(files.rows())

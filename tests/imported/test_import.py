"""Import: what becomes of the rows of a foreign file, and what is told of those it cannot use."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asymreinforce.config import parse_config
from asymreinforce.data import contracts
from asymreinforce.data.files import process_namespace
from asymreinforce.errors import ConfigError, InputError
from asymreinforce.experiment import imported
from asymreinforce.model.checkpoint import load_tokenizer
from tests import made
from tests.imported import files


def test_rows_of_several_policies_become_groups_by_prompt(
    tmp_path: Path, random_policy: Path
) -> None:
    path = files.jsonl(tmp_path / "a.jsonl", files.rows(prompts=6))
    found = files.bring(tmp_path / "runs", random_policy, path)
    rows = files.rollouts(found)
    assert [row["policy"] for row in rows] == ["small", "large", "people"] * 6
    assert [row["sample"] for row in rows] == [0, 1, 2] * 6
    assert [row["source_sample"] for row in rows[:3]] == [0, 1, 2]
    assert [row["source_sample"] for row in rows[3:6]] == [10, 11, 12]
    assert all(row["behaviour_logps"] is None for row in rows)
    assert len({row["prompt_id"] for row in rows}) == 6
    facts = files.facts(found)
    assert (facts.rows, facts.prompts, facts.smallest_group, facts.largest_group) == (18, 6, 3, 3)
    assert facts.policies == {"large": 6, "people": 6, "small": 6}


def test_text_is_tokenised_with_the_end_token_where_it_had_ended(
    tmp_path: Path, random_policy: Path
) -> None:
    first, second, third = files.rows(prompts=3, policies=("mu",))
    values = [first, second | {"finish_reason": "length"}, third | {"truncated": False}]
    found = files.bring(tmp_path / "runs", random_policy, files.jsonl(tmp_path / "a.jsonl", values))
    tokenizer = load_tokenizer(random_policy)
    plain = tokenizer.encode(" Answer: 1")
    rows = files.rollouts(found)
    assert [row["finish_reason"] for row in rows] == ["stop", "length", "stop"]
    assert rows[0]["completion_token_ids"] == [*plain, tokenizer.eos_token_id]
    assert rows[1]["completion_token_ids"] == plain
    assert {row["text"] for row in rows} == {" Answer: 1"}
    assert files.facts(found).truncated == 1


def test_an_end_token_written_in_a_text_ends_it_and_is_not_doubled(
    tmp_path: Path, random_policy: Path
) -> None:
    (row,) = files.rows(prompts=1, policies=("mu",))
    path = files.jsonl(tmp_path / "a.jsonl", [row | {"completion": " Answer: 1<|end|>"}])
    found = files.bring(tmp_path / "runs", random_policy, path, source__ended=False)
    (read,) = files.rollouts(found)
    end = load_tokenizer(random_policy).eos_token_id
    assert read["completion_token_ids"].count(end) == 1
    assert (read["text"], read["finish_reason"]) == (" Answer: 1", "stop")


def test_prompts_are_tokenised_in_the_template_of_the_task(
    tmp_path: Path, random_policy: Path
) -> None:
    path = files.jsonl(tmp_path / "a.jsonl", files.rows(prompts=1, policies=("mu",)))
    tokenizer = load_tokenizer(random_policy)
    for whole, prefix in ((None, "Q: "), (True, "")):
        template = {"task__template": "Q: {question}", "source__templated": whole}
        found = files.bring(tmp_path / "runs", random_policy, path, **template)
        (row,) = files.rollouts(found)
        question = files.rows(prompts=1)[0]["question"]
        assert tokenizer.decode(row["prompt_token_ids"]) == prefix + question
        (prompt,) = contracts.read_table(
            found.prompts.path("train.parquet"), contracts.PROMPTS
        ).to_pylist()
        assert prompt["question"] == question


def test_token_ids_and_log_probabilities_are_kept_as_they_are(
    tmp_path: Path, random_policy: Path
) -> None:
    tokenizer = load_tokenizer(random_policy)
    end = tokenizer.eos_token_id
    ids = [[*tokenizer.encode(" Answer: 1"), end], tokenizer.encode(" Answer:")]
    values = [
        {
            "prompt_ids": [5, 6, 7],
            "completion_ids": tokens,
            "logprobs": [-0.5] * len(tokens),
            "gold_answer": "1",
        }
        for tokens in ids
    ]
    found = files.bring(tmp_path / "runs", random_policy, files.jsonl(tmp_path / "a.jsonl", values))
    rows = files.rollouts(found)
    assert [row["completion_token_ids"] for row in rows] == ids
    assert [row["prompt_token_ids"] for row in rows] == [[5, 6, 7]] * 2
    assert [row["behaviour_logps"] for row in rows] == [[-0.5] * len(t) for t in ids]
    assert [row["finish_reason"] for row in rows] == ["stop", "length"]
    assert [row["text"] for row in rows] == [" Answer: 1", " Answer:"]
    assert {row["policy"] for row in rows} == {"a"}  # the file's name
    assert files.facts(found).with_logps == 2


def test_several_gold_answers_of_a_prompt_are_kept_with_it(
    tmp_path: Path, random_policy: Path
) -> None:
    values = [row | {"metadata": {"a": 1}} for row in files.rows(prompts=1)]
    values[0]["gold_answer"] = None
    for row in values[1:]:
        row["gold_answer"] = ["1", 1.0]
    found = files.bring(tmp_path / "runs", random_policy, files.jsonl(tmp_path / "a.jsonl", values))
    (prompt,) = contracts.read_table(
        found.prompts.path("train.parquet"), contracts.PROMPTS
    ).to_pylist()
    assert prompt["gold_answer"] == "1"
    assert prompt["metadata"] == '{"a": 1, "gold_answers": ["1", "1.0"]}'


def test_rewards_become_verdicts_and_rows_without_one_are_left_out(
    tmp_path: Path, random_policy: Path
) -> None:
    values = files.rows(prompts=2)
    rewards = [True, 0.25, None, -1, 1.0, False]
    given = [row | {"reward": reward} for row, reward in zip(values, rewards, strict=True)]
    found = files.bring(tmp_path / "runs", random_policy, files.jsonl(tmp_path / "a.jsonl", given))
    verdicts = files.read(found.verdicts, contracts.VERDICTS)
    by_row: dict[int, list[Any]] = {row["sample"]: [] for row in verdicts}
    for row in verdicts:
        by_row[row["sample"]].append((row["status"], row["score"]))
    assert by_row == {
        0: [("ok", 1.0), ("ok", 0.25)],
        1: [("error", None), ("ok", -1.0)],
        2: [("ok", 1.0), ("ok", 0.0)],
    }
    assert {row["grader"] for row in verdicts} == {"imported"}
    facts = files.facts(found)
    assert (facts.rewarded, facts.mean_reward) == (5, pytest.approx(1.25 / 5))  # type: ignore[comparison-overlap]


def test_order_of_the_file_decides_nothing_but_the_order_of_prompts_and_samples(
    tmp_path: Path, random_policy: Path
) -> None:
    values = files.rows(prompts=9)
    mixed = values.copy()
    random.Random(0).shuffle(mixed)
    contents = []
    for name, order in (("a", values), ("b", mixed)):
        path = files.jsonl(tmp_path / f"{name}.jsonl", order)
        found = files.bring(tmp_path / "runs", random_policy, path, source__prompts_per_shard=2)
        assert len(found.rollouts.planned) == 5
        contents.append(
            sorted(
                (r["prompt_id"], r["policy"], r["source_sample"], r["text"])
                for r in files.rollouts(found)
            )
        )
        for name in found.rollouts.planned:  # every group stands in one shard, its rows together
            shard = contracts.read_table(found.rollouts.path(name), contracts.ROLLOUTS).to_pylist()
            assert [row["sample"] for row in shard] == [0, 1, 2] * (len(shard) // 3)
    assert contents[0] == contents[1]


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz", "parquet"])
def test_the_same_rows_come_in_from_every_container(
    tmp_path: Path, random_policy: Path, suffix: str
) -> None:
    write: Callable[[Path, list[Any]], Path] = files.parquet if suffix == "parquet" else files.jsonl
    path = write(tmp_path / f"a.{suffix}", files.rows(prompts=4))
    found = files.bring(tmp_path / "runs", random_policy, path)
    plain = files.bring(
        tmp_path / "plain", random_policy, files.jsonl(tmp_path / "a.jsonl", files.rows(prompts=4))
    )
    assert files.rollouts(found) == files.rollouts(plain)


def test_a_second_import_does_nothing_and_a_changed_file_is_another_set(
    tmp_path: Path, random_policy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = files.jsonl(tmp_path / "a.jsonl", files.rows())
    found = files.bring(tmp_path / "runs", random_policy, path)
    before = made.stamps(tmp_path / "runs")
    assert files.bring(tmp_path / "runs", random_policy, path).rollouts.hash == found.rollouts.hash
    assert made.stamps(tmp_path / "runs") == before
    assert "complete, nothing to do" in capsys.readouterr().err
    files.jsonl(path, files.rows(prompts=5))
    assert files.bring(tmp_path / "runs", random_policy, path).rollouts.hash != found.rollouts.hash


def test_an_import_that_was_killed_is_filled_in_with_the_same_bytes(
    tmp_path: Path, random_policy: Path
) -> None:
    values = [row | {"reward": 1} for row in files.rows(prompts=6, policies=("mu",))]
    path = files.jsonl(tmp_path / "a.jsonl", values)
    size = {"source__prompts_per_shard": 2}
    found = files.bring(tmp_path / "runs", random_policy, path, **size)
    payload = made.payload(tmp_path / "runs")
    dead = f".tmp-99999999-{process_namespace()[:8]}-gathering.sqlite"
    leftover = found.rollouts.directory.parent / dead
    for store, name in (
        (found.rollouts, found.rollouts.planned[1]),
        (found.verdicts, found.verdicts.planned[2]),
        (found.prompts, "held_out.parquet"),
    ):
        store.drop(name)
        leftover.touch()
        files.bring(tmp_path / "runs", random_policy, path, **size)
        assert made.payload(tmp_path / "runs") == payload


def test_prompts_can_be_held_back_for_evaluation(tmp_path: Path, random_policy: Path) -> None:
    path = files.jsonl(tmp_path / "a.jsonl", files.rows(prompts=9))
    back = {"source__validation": 2, "source__held_out": 3}
    found = files.bring(tmp_path / "runs", random_policy, path, **back)
    splits = [
        contracts.read_table(found.prompts.path(f"{split}.parquet"), contracts.PROMPTS)
        for split in ("train", "validation", "held_out")
    ]
    assert [len(split) for split in splits] == [4, 2, 3]
    trained = {row["prompt_id"] for row in files.rollouts(found)}
    assert trained == set(splits[0].column("prompt_id").to_pylist())
    assert not trained & set(splits[2].column("prompt_id").to_pylist())
    assert files.facts(found).held_back == 15
    with pytest.raises(InputError, match="9 prompts leave none to train on"):
        files.bring(tmp_path / "runs", random_policy, path, source__held_out=9)


def test_evaluation_questions_of_the_task_that_were_imported_are_counted(
    tmp_path: Path, random_policy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from asymreinforce import tasks

    config = made.config(tmp_path / "runs", policy=random_policy)
    held_out = tasks.split_questions(config.task, "held_out")[:5]
    values = [
        {"question": q.question, "gold_answer": q.gold_answer, "completion": " Answer: 1"}
        for q in held_out
    ]
    files.bring(tmp_path / "runs", random_policy, files.jsonl(tmp_path / "a.jsonl", values))
    warning = "5 of 12 held_out questions of task cups are among the imported ones"
    assert warning in capsys.readouterr().err


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
    "a key that stands twice": (
        lambda rows: rows.__setitem__(3, '{"question": "a", "question": "b", "completion": "c"}'),
        r"1 rows are not valid JSON \(the key 'question' stands twice",
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
    "ids that are texts": ({"completion_ids": ["5"]}, "no list of numbers"),
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
    refused(text, ConfigError, r"its ending says nothing.*\.parquet")
    refused(empty, ConfigError, r"source\.format=parquet", source__format="parquet")
    broken = files.parquet(tmp_path / "a.parquet", files.rows())
    broken.write_bytes(broken.read_bytes()[:500])
    refused(broken, InputError, "not readable")
    (tmp_path / "directory").mkdir()
    refused(tmp_path / "directory", InputError, r"holds no \*\.jsonl")


def test_a_format_that_is_not_known_is_refused_with_those_there_are(
    tmp_path: Path, random_policy: Path
) -> None:
    values = made.values(tmp_path, policy=random_policy, source__format="xlsx")
    with pytest.raises(
        ConfigError, match=r"source\.format.*'parquet', 'csv', 'arrow', 'trl', 'verl'"
    ):
        parse_config(values)


def test_import_without_a_path_says_what_it_needs(tmp_path: Path, random_policy: Path) -> None:
    with pytest.raises(ConfigError, match=r"asymrl import needs source\.path"):
        imported.run_import(made.config(tmp_path / "runs", policy=random_policy))

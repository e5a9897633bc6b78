"""Import: what becomes of the rows of a foreign file, and what is told of those it cannot use."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asymreinforce.data import contracts
from asymreinforce.data.files import process_namespace
from asymreinforce.errors import InputError
from asymreinforce.model.checkpoint import load_tokenizer
from tests.fixtures import foreign_files as files
from tests.fixtures.experiments import small_config
from tests.fixtures.stored_files import read_payload, read_stamps


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
    before = read_stamps(tmp_path / "runs")
    assert files.bring(tmp_path / "runs", random_policy, path).rollouts.hash == found.rollouts.hash
    assert read_stamps(tmp_path / "runs") == before
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
    payload = read_payload(tmp_path / "runs")
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
        assert read_payload(tmp_path / "runs") == payload


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

    config = small_config(tmp_path / "runs", policy=random_policy)
    held_out = tasks.split_questions(config.task, "held_out")[:5]
    values = [
        {"question": q.question, "gold_answer": q.gold_answer, "completion": " Answer: 1"}
        for q in held_out
    ]
    files.bring(tmp_path / "runs", random_policy, files.jsonl(tmp_path / "a.jsonl", values))
    warning = "5 of 12 held_out questions of task cups are among the imported ones"
    assert warning in capsys.readouterr().err

"""What TRL, verl and lm-evaluation-harness write comes in without a word about columns."""

import csv
from pathlib import Path
from typing import Any

import pytest

from asymreinforce.data import contracts
from asymreinforce.errors import ConfigError, InputError
from asymreinforce.imported.columns import look_up
from asymreinforce.model.checkpoint import load_tokenizer
from tests.fixtures import foreign_files as files

QUESTION = "Ball under 3 Swaps: 4-3 5-4 3-1 3-2 ="


def decoded_prompts(found: Any, policy: Path) -> set[str]:
    tokenizer = load_tokenizer(policy)
    return {tokenizer.decode(row["prompt_token_ids"]) for row in files.rollouts(found)}


def gold_answers(found: Any) -> set[str]:
    rows = contracts.read_table(found.prompts.path("train.parquet"), contracts.PROMPTS)
    return set(rows.column("gold_answer").to_pylist())


def test_trl_completions_of_two_steps_are_two_policies(tmp_path: Path, random_policy: Path) -> None:
    for step in (2, 10):
        rows = [
            {
                "step": step,
                "prompt": QUESTION,
                "completion": f" Answer: {answer}",
                "accuracy_reward": float(answer == 5),
                "solution": "5",
                "advantage": 0.1,
            }
            for answer in (4, 5)
        ]
        files.parquet(tmp_path / f"completions_{step}.parquet", rows)
    found = files.bring(
        tmp_path / "runs",
        random_policy,
        tmp_path,
        source__format="trl",
        task__template="Q: {question}",
    )
    rows = files.rollouts(found)
    assert [row["policy"] for row in rows] == ["step-2", "step-2", "step-10", "step-10"]
    assert decoded_prompts(found, random_policy) == {QUESTION}  # the model saw it as it is
    assert [v["score"] for v in files.read(found.verdicts, contracts.VERDICTS)] == [0, 1, 0, 1]
    assert gold_answers(found) == {"5"}


def test_trl_conversations_are_read_by_their_roles(tmp_path: Path, random_policy: Path) -> None:
    row = {
        "prompt": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": QUESTION},
        ],
        "completion": [{"role": "assistant", "content": " Answer: 5"}],
        "ground_truth": "5",
    }
    path = files.jsonl(tmp_path / "a.jsonl", [row])
    found = files.bring(tmp_path / "runs", random_policy, path, source__format="trl")
    (read,) = files.rollouts(found)
    assert read["text"] == " Answer: 5"
    assert decoded_prompts(found, random_policy) == {QUESTION}  # no chat template


def test_a_chat_goes_through_the_tokenizers_own_template(
    tmp_path: Path, random_policy: Path
) -> None:
    tokenizer = load_tokenizer(random_policy)
    tokenizer.chat_template = (
        "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    chat = tmp_path / "chat"
    chat.mkdir()
    for file in random_policy.iterdir():
        (chat / file.name).write_bytes(file.read_bytes())
    tokenizer.save_pretrained(chat)
    row = {
        "prompt": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Swaps?"},
        ],
        "completion": " Answer: 5",
        "answer": "5",
    }
    found = files.bring(tmp_path / "runs", chat, files.jsonl(tmp_path / "a.jsonl", [row]))
    assert decoded_prompts(found, chat) == {"[system] Be brief.\n[user] Swaps?\n[assistant]"}
    prompts = contracts.read_table(found.prompts.path("train.parquet"), contracts.PROMPTS)
    assert prompts.column("question").to_pylist() == ["Swaps?"]


def test_verls_rollout_dump_is_read_file_by_file_in_the_order_of_steps(
    tmp_path: Path, random_policy: Path
) -> None:
    for step in (2, 10):
        row = {"input": QUESTION, "output": f" Answer: {step}", "gts": 5, "score": -1.0}
        files.jsonl(tmp_path / "dump" / f"{step}.jsonl", [row | {"step": step}])
    found = files.bring(tmp_path / "runs", random_policy, tmp_path / "dump", source__format="verl")
    rows = files.rollouts(found)
    assert [(row["policy"], row["text"]) for row in rows] == [
        ("step-2", " Answer: 2"),
        ("step-10", " Answer: 10"),
    ]
    assert [v["score"] for v in files.read(found.verdicts, contracts.VERDICTS)] == [-1, -1]
    assert gold_answers(found) == {"5"}


def test_verls_prompt_parquet_with_responses_makes_a_row_of_each(
    tmp_path: Path, random_policy: Path
) -> None:
    row = {
        "data_source": "openai/gsm8k",
        "prompt": [{"role": "user", "content": QUESTION}],
        "reward_model": {"style": "rule", "ground_truth": "5"},
        "extra_info": {"index": 7, "split": "train"},
        "responses": [" Answer: 5", " Answer: 4", " Answer: 3"],
    }
    path = files.parquet(tmp_path / "generated.parquet", [row])
    found = files.bring(tmp_path / "runs", random_policy, path, source__format="verl")
    rows = files.rollouts(found)
    assert [row["text"] for row in rows] == [" Answer: 5", " Answer: 4", " Answer: 3"]
    assert {row["policy"] for row in rows} == {"generated"}
    prompts = contracts.read_table(
        found.prompts.path("train.parquet"), contracts.PROMPTS
    ).to_pylist()
    assert [(p["question"], p["gold_answer"], p["subject"]) for p in prompts] == [
        (QUESTION, "5", "openai/gsm8k")
    ]
    assert prompts[0]["metadata"] == '{"index": 7, "split": "train"}'


def samples(filter_: str, **more: Any) -> dict[str, Any]:
    """A line of lm-evaluation-harness' samples."""
    return {
        "doc_id": 0,
        "doc": {"question": QUESTION, "answer": "working #### 5"},
        "target": "5",
        "arguments": {"gen_args_0": {"arg_0": f"Question: {QUESTION}\nAnswer:", "arg_1": {}}},
        "resps": [[" Answer: 5"]],
        "filtered_resps": ["5"],
        "filter": filter_,
        "doc_hash": "abc",
        "exact_match": 1.0,
    } | more


def test_lm_eval_samples_are_read_by_one_filter_and_the_directory_names_the_policy(
    tmp_path: Path, random_policy: Path
) -> None:
    rows = [samples("strict-match", exact_match=0.0), samples("flexible-extract")]
    files.jsonl(tmp_path / "org__model" / "samples_gsm8k_2026-01-01.jsonl", rows)
    files.jsonl(tmp_path / "org__model" / "results_2026-01-01.jsonl", [{"results": 1}])
    for filter_, score in ((None, 0.0), ("flexible-extract", 1.0)):
        found = files.bring(
            tmp_path / "runs",
            random_policy,
            tmp_path / "org__model",
            source__format="lm_eval",
            source__filter=filter_,
        )
        (row,) = files.rollouts(found)
        assert (row["policy"], row["text"]) == ("org__model", " Answer: 5")
        assert decoded_prompts(found, random_policy) == {QUESTION}
        (verdict,) = files.read(found.verdicts, contracts.VERDICTS)
        assert verdict["score"] == score
        skipped = files.facts(found).skipped
        assert skipped == {"are of another filter of lm-evaluation-harness": 1}


def test_lm_eval_repeats_are_samples_whose_one_metric_is_nobodys(
    tmp_path: Path, random_policy: Path
) -> None:
    row = samples("none", resps=[[" Answer: 5", " Answer: 4"]], doc={"id": 1})
    path = files.jsonl(tmp_path / "m" / "samples_x.jsonl", [row])
    found = files.bring(
        tmp_path / "runs", random_policy, path, source__format="lm_eval", policy__context=64
    )
    rows = files.rollouts(found)
    assert [row["text"] for row in rows] == [" Answer: 5", " Answer: 4"]
    assert decoded_prompts(found, random_policy) == {f"Question: {QUESTION}\nAnswer:"}
    facts = files.facts(found)
    assert facts.rewarded == 0
    assert facts.skipped == {"give one reward for several completions; it is left out": 1}


def test_several_completions_of_a_record_take_the_values_of_their_own_place(
    tmp_path: Path, random_policy: Path
) -> None:
    row = {
        "prompt": QUESTION,
        "answer": "5",
        "completions": [" Answer: 5", " Answer: 4"],
        "reward": [1, 0],
        "finish_reason": ["stop", "length"],
    }
    found = files.bring(tmp_path / "runs", random_policy, files.jsonl(tmp_path / "a.jsonl", [row]))
    assert [(r["text"], r["finish_reason"]) for r in files.rollouts(found)] == [
        (" Answer: 5", "stop"),
        (" Answer: 4", "length"),
    ]
    assert [v["score"] for v in files.read(found.verdicts, contracts.VERDICTS)] == [1, 0]


def test_a_filter_that_is_in_no_row_is_refused(tmp_path: Path, random_policy: Path) -> None:
    path = files.jsonl(tmp_path / "m" / "samples_x.jsonl", [samples("strict-match")])
    settings = {"source__format": "lm_eval", "source__filter": "fuzzy"}
    with pytest.raises(InputError, match=r"no row is of the filter 'fuzzy'"):
        files.bring(tmp_path / "runs", random_policy, path, **settings)


def test_a_dotted_name_looks_into_dictionaries_and_lists() -> None:
    values = {"a": {"b": [{"c": 1}]}, "a.b": 2, "exact_match,strict": 3}
    assert look_up(values, "a.b.0.c") == 1
    assert look_up(values, "a.b") == 2  # a column of that very name comes first
    assert look_up(values, "exact_match,strict") == 3
    assert look_up(values, "a.x.y") is look_up(values, "a.b.7.c") is None


def test_a_csv_holds_what_json_lines_hold(tmp_path: Path, random_policy: Path) -> None:
    rows: list[dict[str, Any]] = [
        {
            "question": QUESTION,
            "gold_answer": "05",
            "completion": ' Answer: 5, or\n"six"',
            "completion_token_ids": None,
            "reward": 0.25,
            "sample": 3,
            "policy": "small",
            "metadata": "1.50",
            "truncated": True,
            "level": None,
        },
        {
            "question": f"{QUESTION} ",
            "gold_answer": "1e3",
            "completion": "7.10",
            "completion_token_ids": None,
            "reward": 1,
            "sample": 4,
            "policy": "12",
            "metadata": None,
            "truncated": False,
            "level": "2",
        },
    ]
    path = tmp_path / "a.csv"
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    both = [
        files.bring(tmp_path / name, random_policy, source)
        for name, source in (("1", path), ("2", files.jsonl(tmp_path / "a.jsonl", rows)))
    ]
    first, second = (files.rollouts(found) for found in both)
    assert len(first) == 2
    assert first == second
    assert [row["finish_reason"] for row in first] == ["length", "stop"]
    first, second = (files.read(found.verdicts, contracts.VERDICTS) for found in both)
    assert [row["score"] for row in first] == [0.25, 1.0]
    assert [row["score"] for row in second] == [0.25, 1.0]
    assert gold_answers(both[0]) == {"05", "1e3"}


def test_tokens_and_log_probabilities_of_a_csv_are_json(
    tmp_path: Path, random_policy: Path
) -> None:
    lists = {"completion_ids": [40, 41], "logprobs": [-0.5, -0.25]}
    rows = [{"question": QUESTION, "reward": 1, **lists}]
    path = tmp_path / "a.tsv"
    path.write_text(
        f"question\treward\tcompletion_ids\tlogprobs\n{QUESTION}\t1\t[40, 41]\t[-0.5, -0.25]\n"
    )
    found = files.bring(tmp_path / "1", random_policy, path)
    same = files.bring(tmp_path / "2", random_policy, files.jsonl(tmp_path / "a.jsonl", rows))
    (row,), (other,) = files.rollouts(found), files.rollouts(same)
    assert row["completion_token_ids"] == [40, 41]
    assert row == other


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("question,completion,reward\nWhat?,1,good\n", "have a reward that is no number"),
        ("question,completion\nWhat?\n", "line 2 has 1 values for 2 columns"),
        ("question,question\na,b\n", "names a column twice"),
        ('question,completion\n"What?,1\n', "not readable"),
    ],
)
def test_a_csv_that_cannot_be_read_says_why(
    text: str, words: str, tmp_path: Path, random_policy: Path
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        files.bring(tmp_path / "runs", random_policy, path)


def test_an_empty_cell_of_a_csv_is_null_but_for_a_completion(
    tmp_path: Path, random_policy: Path
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("prompt,question,completion,answer\nWhat?,,1,1\nWhat?,,,1\n")
    rows = [{"prompt": "What?", "completion": text, "answer": 1} for text in ("1", "")]
    found = files.bring(tmp_path / "1", random_policy, path)
    same = files.bring(tmp_path / "2", random_policy, files.jsonl(tmp_path / "a.jsonl", rows))
    assert files.rollouts(found) == files.rollouts(same)


def test_rollouts_come_from_what_save_to_disk_wrote(tmp_path: Path, random_policy: Path) -> None:
    datasets = pytest.importorskip("datasets")
    rows = files.rows(prompts=4)
    datasets.Dataset.from_list(rows).save_to_disk(tmp_path / "saved", num_shards=2)
    found = files.bring(tmp_path / "1", random_policy, tmp_path / "saved")
    plain = files.bring(tmp_path / "2", random_policy, files.jsonl(tmp_path / "a.jsonl", rows))
    assert files.rollouts(found) == files.rollouts(plain)
    both = datasets.DatasetDict({name: datasets.Dataset.from_list(rows) for name in ("a", "b")})
    both.save_to_disk(tmp_path / "splits")
    with pytest.raises(ConfigError, match=r"holds the splits a, b; set source\.path to one"):
        files.bring(tmp_path / "3", random_policy, tmp_path / "splits")
    one = files.bring(tmp_path / "4", random_policy, tmp_path / "splits/b")
    assert files.rollouts(one) == files.rollouts(plain)

"""Import: prompts are what their policy saw, stop tokens are tokens, and what looks odd is said."""

import json
from pathlib import Path
from typing import Any

import pytest

from asymreinforce.config import ExperimentConfig
from asymreinforce.data import contracts
from asymreinforce.engines.encoding import encode_prompts
from asymreinforce.errors import InputError
from asymreinforce.model.checkpoint import load_tokenizer
from tests.fixtures import foreign_files as files
from tests.fixtures import toy_chat
from tests.fixtures.chat_kinds import KINDS, tokenizer
from tests.fixtures.experiments import small_config

QUESTION = "What is 1 plus 2?"
CHAT = [{"role": "user", "content": QUESTION}]
PARTS = [{"role": "user", "content": [{"type": "text", "text": QUESTION}]}]


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A checkpoint of each kind, whose tokenizer appends an end-of-sequence token to every text."""
    parent = tmp_path_factory.mktemp("kinds")
    return {
        name: toy_chat.checkpoint(parent / f"kind{number}", words=tokenizer(kind, appends_eos=True))
        for number, (name, kind) in enumerate(KINDS.items())
    }


def bring(tmp_path: Path, policy: Path, rows: list[Any], **settings: Any) -> Any:
    given = {"policy__context": 120, **settings}
    return files.bring(tmp_path / "runs", policy, files.jsonl(tmp_path / "a.jsonl", rows), **given)


def row(**fields: Any) -> dict[str, Any]:
    return {"prompt": QUESTION, "completion": " Answer: 3", "answer": "3", **fields}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("source", [{"format": "trl"}, {"templated": True}])
def test_a_rendering_comes_in_as_the_tokens_of_its_template(
    tmp_path: Path, checkpoints: dict[str, Path], name: str, source: dict[str, Any]
) -> None:
    words = load_tokenizer(checkpoints[name])
    chat = PARTS if name == "content parts" else CHAT
    text = words.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    ids = words.apply_chat_template(chat, add_generation_prompt=True, return_dict=False)
    settings = {f"source__{key}": value for key, value in source.items()}
    found = bring(tmp_path, checkpoints[name], [row(prompt=text)], **settings)
    assert [r["prompt_token_ids"] for r in files.rollouts(found)] == [ids]
    assert files.facts(found).warned == {}


@pytest.mark.parametrize("name", KINDS)
def test_a_chat_and_a_question_come_in_as_the_tokens_of_their_template(
    tmp_path: Path, checkpoints: dict[str, Path], name: str
) -> None:
    words = load_tokenizer(checkpoints[name])
    chat = PARTS if name == "content parts" else CHAT
    ids = words.apply_chat_template(chat, add_generation_prompt=True, return_dict=False)
    for prompt in (QUESTION, CHAT):
        found = bring(tmp_path, checkpoints[name], [row(prompt=prompt)])
        assert [r["prompt_token_ids"] for r in files.rollouts(found)] == [ids]


@pytest.mark.parametrize(
    "name, text, ids",
    [
        ("headers", "3<|eot_id|>", ["3", "<|eot_id|>"]),
        ("headers", "3<|end_of_text|>", ["3", "<|end_of_text|>"]),
        ("headers", "3", ["3", "<|eot_id|>"]),
        ("content parts", "3", ["3", "<|end_of_turn|>"]),
        ("INST", "3", ["3", "</s>"]),
        ("ChatML", "3", ["3", "<|im_end|>"]),
        ("headers", "3<|eot_id|>\n", ["3", "<|eot_id|>"]),
        ("headers", "3<|eot_id|><|end_of_text|>", ["3", "<|eot_id|>"]),
        ("turns", "3<end_of_turn>\n<pad><pad>", ["3", "<end_of_turn>"]),
        ("turns", "3<pad>", ["3", "<", "pad", ">", "<end_of_turn>"]),
        ("ChatML", "3<|endoftext|>", ["3", "<|endoftext|>"]),
    ],
)
def test_a_stop_tokens_name_at_the_end_of_a_text_is_that_token(
    tmp_path: Path, checkpoints: dict[str, Path], name: str, text: str, ids: list[str]
) -> None:
    policy = tmp_path / "policy"
    policy.mkdir()
    for file in checkpoints[name].iterdir():
        (policy / file.name).write_bytes(file.read_bytes())
    words = load_tokenizer(policy)
    second = words.convert_tokens_to_ids("<|endoftext|>") if name == "ChatML" else None
    if second is not None:  # a checkpoint may declare end tokens that its template does not write
        ends = {"eos_token_id": [words.eos_token_id, second]}
        (policy / "generation_config.json").write_text(json.dumps(ends))
    (read,) = files.rollouts(bring(tmp_path, policy, [row(completion=text)]))
    assert read["completion_token_ids"][-1] == words.convert_tokens_to_ids(ids[-1])
    letters = "".join(ids[:-1])
    assert words.decode(read["completion_token_ids"][:-1]) == read["text"] == letters
    assert read["finish_reason"] == "stop"


@pytest.mark.parametrize(
    ("prompt", "source", "end"),
    [
        (QUESTION, {}, "<|eot_id|>"),
        (CHAT, {}, "<|eot_id|>"),
        (None, {"format": "trl"}, "<|eot_id|>"),
        (QUESTION, {"templated": True}, "<|end_of_text|>"),
        (QUESTION, {"chat": "never"}, "<|end_of_text|>"),
    ],
)
def test_a_text_gets_the_end_of_a_turn_behind_a_chat_and_of_a_sequence_behind_a_text(
    tmp_path: Path, checkpoints: dict[str, Path], prompt: Any, source: dict[str, Any], end: str
) -> None:
    words = load_tokenizer(checkpoints["headers"])
    whole = words.apply_chat_template(CHAT, tokenize=False, add_generation_prompt=True)
    settings = {f"{'task' if n == 'chat' else 'source'}__{n}": v for n, v in source.items()}
    found = bring(tmp_path, checkpoints["headers"], [row(prompt=prompt or whole)], **settings)
    (read,) = files.rollouts(found)
    assert words.convert_ids_to_tokens(read["completion_token_ids"][-1]) == end


def test_a_text_beside_the_tokens_of_its_prompt_ends_as_that_prompt_says(
    tmp_path: Path, checkpoints: dict[str, Path]
) -> None:
    words = load_tokenizer(checkpoints["headers"])
    chat = words.apply_chat_template(CHAT, add_generation_prompt=True, return_dict=False)
    for ids, end in ((chat, "<|eot_id|>"), (words.encode(QUESTION), "<|end_of_text|>")):
        (read,) = files.rollouts(bring(tmp_path, checkpoints["headers"], [row(prompt_ids=ids)]))
        assert read["prompt_token_ids"] == list(ids)
        assert words.convert_ids_to_tokens(read["completion_token_ids"][-1]) == end


def test_a_stop_token_inside_a_text_stays_letters_and_is_counted(
    tmp_path: Path, checkpoints: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    text = "3<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nAgain?"
    found = bring(tmp_path, checkpoints["headers"], [row(), row(completion=text)])
    words = load_tokenizer(checkpoints["headers"])
    read = files.rollouts(found)[1]
    assert words.convert_tokens_to_ids("<|eot_id|>") not in read["completion_token_ids"][:-1]
    assert read["text"] == text
    warning = "warning: 1 rows hold special tokens' names or chat markup inside their completion"
    assert warning in capsys.readouterr().err


def test_a_completion_cut_off_by_its_own_word_that_ends_with_a_stop_token_had_ended(
    tmp_path: Path, checkpoints: dict[str, Path]
) -> None:
    rows = [row(completion="3<|eot_id|>", truncated=True), row(completion="3", truncated=True)]
    found = bring(tmp_path, checkpoints["headers"], rows)
    assert [r["finish_reason"] for r in files.rollouts(found)] == ["stop", "length"]
    skipped = files.facts(found).skipped
    assert skipped == {"say that they were cut off, but end with a stop token": 1}


def test_a_question_that_is_rendered_already_is_warned_of_with_a_count(
    tmp_path: Path, checkpoints: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    words = load_tokenizer(checkpoints["ChatML"])
    text = words.apply_chat_template(CHAT, tokenize=False, add_generation_prompt=True)
    found = bring(tmp_path, checkpoints["ChatML"], [row(prompt=text), row(prompt=text), row()])
    assert list(files.facts(found).warned.values()) == [2]
    printed = capsys.readouterr().err
    assert "warning: 2 rows have a question that holds special tokens' names or chat" in printed
    assert "source.templated=true" in printed


@pytest.mark.parametrize(
    "prompt, warning",
    [
        ("user\nWhat is 1 plus 2?\nassistant\n", "without what the chat template writes behind"),
        ("<start_of_turn>user\n1?<end_of_turn>\n", "no token for ('<start_of_turn>')"),
        ("<|endoftext|><|im_start|>user\n1?<|im_end|>\n<|im_start|>assistant\n", "with padding"),
    ],
)
def test_a_whole_prompt_that_is_no_rendering_of_this_tokenizer_is_warned_of(
    tmp_path: Path, prompt: str, warning: str, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = toy_chat.checkpoint(tmp_path / "policy")
    found = bring(tmp_path, policy, [row(prompt=prompt)], source__templated=True)
    (read,) = files.rollouts(found)
    decoded = load_tokenizer(policy).decode(read["prompt_token_ids"])
    assert decoded == prompt.removeprefix("<|endoftext|>")
    lines = [line for line in capsys.readouterr().err.splitlines() if warning in line]
    assert len(lines) == 1 and lines[0].startswith("warning: 1 rows have a")


def test_tokens_that_the_model_does_not_know_are_refused_at_every_border(tmp_path: Path) -> None:
    """A tokenizer that got tokens of its own beside a model whose embedding was not enlarged."""
    policy = toy_chat.checkpoint(tmp_path / "policy")
    words = load_tokenizer(policy)
    common = max(words.encode(QUESTION))
    declared = json.loads((policy / "config.json").read_text())
    (policy / "config.json").write_text(json.dumps(declared | {"vocab_size": common}))
    message = rf"tokens in their prompt outside the checkpoint's {common} tokens"
    with pytest.raises(InputError, match=message):
        bring(tmp_path, policy, [row()])
    whole = row(prompt_token_ids=[1, 2], completion=QUESTION)
    with pytest.raises(InputError, match="tokens in their completion outside"):
        bring(tmp_path, policy, [whole])
    found = {"prompt_id": ["q"], "question": [QUESTION], "gold_answer": ["3"]}
    nothing = {name: [None] for name in ("level", "subject", "metadata")}
    questions = contracts.make_table(contracts.PROMPTS, found | nothing)
    config = small_config(tmp_path / "runs", policy=policy, policy__context=120)
    with pytest.raises(InputError, match=rf"prompt q has the token \d+, .* knows {common}: its"):
        encode_prompts(questions, words, config, checkpoint=policy)


def test_a_template_that_drops_questions_is_refused_with_count_and_places(tmp_path: Path) -> None:
    policy = toy_chat.checkpoint(tmp_path / "policy", chat="{{ '<|im_start|>always the same' }}")
    rows = [row(), row(prompt="And 3?")]
    message = r"2 rows have a question that is no prompt: the chat template leaves out.*line 1, a"
    with pytest.raises(InputError, match=message):
        bring(tmp_path, policy, rows)


def test_prompts_that_are_held_back_are_evaluated_by_the_tokens_that_they_came_in(
    tmp_path: Path, checkpoints: dict[str, Path]
) -> None:
    policy = checkpoints["headers"]
    words = load_tokenizer(policy)
    texts = [
        words.apply_chat_template(
            [{"role": "user", "content": f"{n}?"}], tokenize=False, add_generation_prompt=True
        )
        for n in range(4)
    ]
    settings = {"source__format": "trl", "source__held_out": 2, "policy__context": 120}
    rows = [row(prompt=text) for text in texts]
    found = bring(tmp_path, policy, rows, **settings)
    config: ExperimentConfig = small_config(tmp_path / "runs", policy=policy, **settings)
    held = contracts.read_table(found.prompts.path("held_out.parquet"), contracts.PROMPTS)
    encoded = encode_prompts(held, words, config, checkpoint=policy)
    whole = {tuple(words.encode(text, add_special_tokens=False)) for text in texts}
    trained = {tuple(r["prompt_token_ids"]) for r in files.rollouts(found)}
    assert {*map(tuple, encoded)} | trained == whole and len(encoded) == 2


def test_what_a_checkpoint_declares_beside_its_tokenizer_names_the_import(tmp_path: Path) -> None:
    """Two checkpoints of one tokenizer may end, and bound, a row by other tokens."""
    policy = toy_chat.checkpoint(tmp_path / "policy")
    text = {"completion": "3<|endoftext|>"}
    first = bring(tmp_path, policy, [row(**text)])
    (policy / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 0]}))
    second = bring(tmp_path, policy, [row(**text)])
    assert first.rollouts.hash != second.rollouts.hash
    assert [files.rollouts(found)[0]["text"] for found in (first, second)] == [
        "3<|endoftext|>",
        "3",
    ]


def test_a_system_prompt_that_no_prompt_holds_is_told(
    tmp_path: Path, random_policy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {"policy__context": 64, "task__system": "Be brief."}
    question = files.rows(prompts=1)[0]["question"]
    rows = [row(prompt=question, completion=" Answer: 1")]
    for whole, told in ((True, False), (False, True)):
        bring(tmp_path, random_policy, rows, source__templated=whole, **settings)
        assert ("warning: task.system is in no prompt" in capsys.readouterr().err) is told

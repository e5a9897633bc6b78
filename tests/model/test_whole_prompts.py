"""Prompts held against what they should hold, over the kinds of chat templates in use."""

import json
from pathlib import Path
from typing import Any

import pytest

from asymreinforce.config.task import TaskConfig
from asymreinforce.errors import InputError
from asymreinforce.model.chat_template import end_of_turn
from asymreinforce.model.checkpoint import end_tokens
from asymreinforce.model.prompts import PromptEncoder
from tests.fixtures import toy_chat
from tests.fixtures.chat_kinds import KINDS, Kind, tokenizer

QUESTION = "What is 1 plus 2?"


def encoder(words: Any, **settings: Any) -> PromptEncoder:
    counts = {"train": 1, "validation": 0, "held_out": 0}
    values = {"name": "file", "grader": "exact", **counts, **settings}
    return PromptEncoder(words, TaskConfig.model_validate(values))


def chats(kind: Kind) -> list[list[dict[str, Any]]]:
    """Chats of one and several turns, in the form of contents that the template reads."""
    user = {"role": "user", "content": QUESTION}
    several = [user, {"role": "assistant", "content": "3"}, {"role": "user", "content": " And 4? "}]
    found = [[user], several]
    if kind.system:
        found.append([{"role": "system", "content": "Be brief."}, user])
    if "part.text" not in kind.template:
        return found
    return [
        [{**m, "content": [{"type": "text", "text": m["content"]}]} for m in chat] for chat in found
    ]


@pytest.mark.parametrize("appends_eos", [False, True])
@pytest.mark.parametrize("name", KINDS)
def test_a_rendering_is_a_whole_prompt_of_the_same_tokens(name: str, appends_eos: bool) -> None:
    kind = KINDS[name]
    words = tokenizer(kind, appends_eos=appends_eos)
    for chat in chats(kind):
        text = words.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        ids = words.apply_chat_template(chat, add_generation_prompt=True, return_dict=False)
        assert encoder(words).encode_whole(text) == ids
        assert {words.convert_tokens_to_ids(s) for s in kind.special[:1]} <= {*ids}  # special in it


@pytest.mark.parametrize("appends_eos", [False, True])
@pytest.mark.parametrize("name", KINDS)
def test_a_question_is_rendered_to_the_same_tokens(name: str, appends_eos: bool) -> None:
    kind = KINDS[name]
    words = tokenizer(kind, appends_eos=appends_eos)
    ids = words.apply_chat_template(chats(kind)[0], add_generation_prompt=True, return_dict=False)
    assert encoder(words).encode({"prompt_id": "q", "question": QUESTION}) == ids
    assert QUESTION in words.decode(ids)


@pytest.mark.parametrize("appends_eos", [False, True])
@pytest.mark.parametrize("name", [name for name in KINDS if KINDS[name].adds_bos])
def test_a_whole_prompt_begins_once_and_nothing_is_added_behind_it(
    name: str, appends_eos: bool
) -> None:
    kind = KINDS[name]
    for chat in (True, False):
        words = tokenizer(kind, appends_eos=appends_eos, chat=chat)
        plain = words.encode("Question: 1?\nAnswer:", add_special_tokens=False)
        for text in ("Question: 1?\nAnswer:", f"{kind.bos}Question: 1?\nAnswer:"):
            assert encoder(words).encode_whole(text) == [words.bos_token_id, *plain]


@pytest.mark.parametrize(
    ("name", "end"),
    [
        ("ChatML", "<|im_end|>"),
        ("headers", "<|eot_id|>"),
        ("INST", "</s>"),
        ("turns", "<end_of_turn>"),
        ("content parts", "<|end_of_turn|>"),
    ],
)
def test_the_token_that_ends_a_turn_ends_completions_in_every_engine(
    name: str, end: str, tmp_path: Path
) -> None:
    words = tokenizer(KINDS[name])
    ends = end_tokens(toy_chat.checkpoint(tmp_path, words=words))
    assert words.convert_ids_to_tokens(list(ends)) == list(dict.fromkeys([words.eos_token, end]))
    assert end_of_turn(tokenizer(KINDS[name], chat=False)) is None


@pytest.mark.parametrize(
    ("behind", "end"), [("", None), ("\n### Next", None), (" <|endoftext|>\n", "<|endoftext|>")]
)
def test_a_turn_that_ends_by_no_special_token_has_no_end_of_its_own(
    behind: str, end: str | None
) -> None:
    template = "{% for m in messages %}{{ m.role ~ ': ' ~ m.content ~ BEHIND }}{% endfor %}"
    words = tokenizer(KINDS["ChatML"]._replace(template=template.replace("BEHIND", repr(behind))))
    found = end_of_turn(words)
    assert (None if found is None else words.convert_ids_to_tokens(found)) == end


def test_a_rendering_whose_begin_token_was_taken_off_gets_it_again() -> None:
    kind = KINDS["headers"]
    words = tokenizer(kind)
    text = words.apply_chat_template(chats(kind)[0], tokenize=False, add_generation_prompt=True)
    bare = text.removeprefix("<|begin_of_text|>")
    assert encoder(words).encode_whole(bare) == encoder(words).encode_whole(text)


def test_a_rendering_by_other_settings_of_the_template_is_one_too() -> None:
    kind = KINDS["ChatML, begun by the tokenizer"]
    template = kind.template + "{{ '<think></think>' if not enable_thinking }}"
    words = tokenizer(kind._replace(template=template))
    ids = {}
    for thinks in (True, False):
        text = words.apply_chat_template(
            chats(kind)[0], tokenize=False, add_generation_prompt=True, enable_thinking=thinks
        )
        ids[thinks] = encoder(words, chat_arguments={"enable_thinking": False}).encode_whole(text)
        assert ids[thinks] == words.encode(text, add_special_tokens=False)
    assert len(ids[False]) > len(ids[True])


def test_an_end_token_that_is_the_begin_token_too_is_not_put_before_a_prompt() -> None:
    same = Kind("", (), "<|endoftext|>", "<|endoftext|>", False)
    words = tokenizer(same, appends_eos=True, chat=False)
    ids = words.encode("1?", add_special_tokens=False)
    assert words.encode("1?") == [*ids, words.eos_token_id]
    prompts = encoder(words)
    assert prompts.encode_whole("1?") == prompts.encode({"prompt_id": "q", "question": "1?"}) == ids


DROPS = "{{ bos_token }}{{ '<|turn|>user:\n26 Jul 2024<|turn|>assistant:' }}"
REFUSES_PARTS = (
    "{% if messages[0].content is not string %}{{ raise_exception('text!') }}{% endif %}"
)
ESCAPES = "{{ '<|turn|>' }}{{ messages[0].content | reverse }}"


@pytest.mark.parametrize("template", [DROPS, REFUSES_PARTS + DROPS, ESCAPES])
@pytest.mark.parametrize("question", [QUESTION, "2"])
def test_a_template_that_drops_the_question_is_refused(template: str, question: str) -> None:
    """The question "2" stands in the template's own date."""
    words = tokenizer(KINDS["content parts"]._replace(template=template))
    with pytest.raises(InputError, match=r"prompt q7: .*leaves out the text of the user message"):
        encoder(words).encode({"prompt_id": "q7", "question": question})


def test_a_template_that_drops_the_system_prompt_is_refused() -> None:
    template = (
        "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}"
    )
    words = toy_chat.tokenizer(chat=template)
    row = {"prompt_id": "q7", "question": QUESTION}
    assert words.decode(encoder(words).encode(row)) == QUESTION
    with pytest.raises(InputError, match=r"leaves out the text of the system.*task\.system=null"):
        encoder(words, system="Be brief.").encode(row)


def test_a_special_name_in_a_question_stays_letters_in_content_parts() -> None:
    words = tokenizer(KINDS["content parts"])
    ids = encoder(words).encode({"prompt_id": "q", "question": "say <|end_of_turn|><|image|>"})
    assert words.decode(ids) == "<s><|turn|>user: say <|end_of_turn|><|image|><|end_of_turn|>\n" + (
        "<|turn|>assistant:"
    )
    counts = [ids.count(words.convert_tokens_to_ids(n)) for n in ("<|end_of_turn|>", "<|image|>")]
    assert counts == [1, 0]


@pytest.mark.parametrize("name", KINDS)
def test_a_rendered_question_looks_like_one(name: str) -> None:
    kind = KINDS[name]
    words = tokenizer(kind)
    other = toy_chat.tokenizer(chat=None)
    for chat in chats(kind):
        text = words.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        assert encoder(words).markup.looks_rendered(text)
        assert encoder(other).markup.looks_rendered(text)  # another model's markup is known too
    for written in ([{"role": "user", "content": "1?"}], [{"type": "text", "text": "1?"}]):
        assert encoder(words).markup.looks_rendered(str(written))
        assert encoder(words).markup.looks_rendered(json.dumps(written, indent=1))
    for plain in (QUESTION, "If a < b and |x| > 1, what is [x]?", "the assistant said: 3"):
        assert not encoder(words).markup.looks_rendered(plain)


def test_settings_that_are_in_no_prompt_are_named() -> None:
    settings = {"system": "Be brief.", "instruction": "Think."}
    base, chat = toy_chat.tokenizer(chat=None), toy_chat.tokenizer()
    assert encoder(chat, **settings).unused_settings == []
    assert (
        encoder(base, template="{system} {question} {instruction}", **settings).unused_settings
        == []
    )
    (line,) = encoder(base, template="{question} {instruction}", **settings).unused_settings
    assert line.startswith("task.system is in no prompt: without a chat template prompts are task.")
    lines = encoder(chat, template="own:ask", **settings).unused_settings
    assert [line.split(" ")[0] for line in lines] == ["task.system", "task.instruction"]


def test_a_users_template_that_writes_markup_in_a_text_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user's text is letters: its markup is no markup."""
    name = f"own_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(
        "def text(row): return '<|im_start|>' + row['question']\n"
        "def chat(row): return [{'role': 'user', 'content': row['question']}]\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    row = {"prompt_id": "q", "question": QUESTION}
    words = toy_chat.tokenizer()
    told = [encoder(words, template=f"{name}:{f}").renders_twice(row) for f in ("text", "chat")]
    assert told == [True, False]

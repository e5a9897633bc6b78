"""A completion of several messages is refused or one of them is taken; what is left out is said."""

from pathlib import Path
from typing import Any

import pytest

from asymreinforce.errors import InputError
from tests.fixtures import foreign_files as files

CALL = {"role": "assistant", "content": " Steps:", "tool_calls": [{"name": "add"}]}
RESULT = {"role": "tool", "content": "3"}
ANSWER = {"role": "assistant", "content": " Answer: 3"}
SEVERAL = {
    "a tool between": [CALL, RESULT, ANSWER],
    "a user between": [ANSWER, {"role": "user", "content": "Sure?"}, ANSWER],
    "two in a row": [CALL, ANSWER],
    "a question first": [{"role": "user", "content": "1?"}, ANSWER],
    "a result behind": [CALL, RESULT],
}


def row(completion: Any, **fields: Any) -> dict[str, Any]:
    question = "Ball under 3 Swaps: 4-3 5-4 3-1 3-2 ="
    return {"prompt": question, "completion": completion, "answer": "3", **fields}


def bring(tmp_path: Path, policy: Path, rows: list[Any], **settings: Any) -> Any:
    return files.bring(
        tmp_path / "runs", policy, files.jsonl(tmp_path / "a.jsonl", rows), **settings
    )


@pytest.mark.parametrize("case", SEVERAL)
@pytest.mark.parametrize("nested", [False, True])
def test_several_messages_are_never_joined_and_refused_with_their_count(
    tmp_path: Path, random_policy: Path, case: str, nested: bool
) -> None:
    several = [SEVERAL[case]] if nested else SEVERAL[case]
    rows = [row([ANSWER]), row(several), row(several)]
    message = (
        r"of 3 rows\n  2 rows have a completion of several messages.*source\.turns=first.*line 2"
    )
    for format_ in (None, "trl"):
        with pytest.raises(InputError, match=message):
            bring(tmp_path, random_policy, rows, source__format=format_)


@pytest.mark.parametrize("turns, text", [("first", " Steps:"), ("last", " Answer: 3")])
def test_one_of_several_turns_is_taken_and_said(
    tmp_path: Path, random_policy: Path, turns: str, text: str
) -> None:
    rows = [row(SEVERAL["a tool between"], finish_reason="length"), row([ANSWER])]
    found = bring(tmp_path, random_policy, rows, source__turns=turns)
    first, second = files.rollouts(found)
    assert (first["text"], second["text"]) == (text, " Answer: 3")
    # the first turn had ended, whatever became of the last
    assert first["finish_reason"] == {"first": "stop", "last": "length"}[turns]
    left_out = {"hold tool calls in a completion's message; it is left out": 1}
    taken = {f"hold several messages, of which the {turns} of the assistant is taken": 1}
    assert files.facts(found).skipped == taken | (left_out if turns == "first" else {})


@pytest.mark.parametrize(
    "message, kind",
    [
        ({"tool_calls": [{"name": "add"}]}, "tool calls"),
        ({"reasoning_content": "I think"}, "reasoning"),
        ({"mood": "good"}, "another field"),
        ({"content": [{"type": "text", "text": " Answer: 3"}, {"type": "image"}]}, "images"),
        (
            {"content": [{"type": "thinking", "thinking": "hm"}, {"text": " Answer: 3"}]},
            "reasoning",
        ),
        ({"content": [{"type": "sound"}, {"type": "text", "text": " Answer: 3"}]}, "another part"),
    ],
)
def test_what_is_left_out_of_a_message_is_counted(
    tmp_path: Path, random_policy: Path, message: dict[str, Any], kind: str
) -> None:
    rows = [row([ANSWER | message | {"refusal": None}]), row([ANSWER])]
    found = bring(tmp_path, random_policy, rows)
    assert [r["text"] for r in files.rollouts(found)] == [" Answer: 3"] * 2
    skipped = files.facts(found).skipped
    assert skipped == {f"hold {kind} in a completion's message; it is left out": 1}


def test_what_is_left_out_of_a_prompts_messages_is_counted(
    tmp_path: Path, random_policy: Path
) -> None:
    prompt = [{"role": "user", "content": "1?"}, CALL, RESULT, {"role": "user", "content": "2?"}]
    found = bring(tmp_path, random_policy, [row([ANSWER], prompt=prompt)])
    facts = files.facts(found)
    assert facts.skipped == {"hold tool calls in a message of the prompt; it is left out": 1}
    assert [*facts.warned] == [
        "have a prompt of several messages, of which the question alone is kept, since no chat "
        "template is used"
    ]


@pytest.mark.parametrize(
    "completion, message",
    [
        ([{"role": "tool", "content": "3"}], "without a message of the assistant"),
        ([{"role": "assistant", "content": None}], "a chat message without role and text"),
        ([{"role": "assistant", "content": [{"type": "image"}]}], "without role and text"),
        ([ANSWER, 3], "a chat message without role and text"),
        ([{"role": 3, "content": "3"}], "a chat message without role and text"),
    ],
)
def test_messages_without_a_text_of_the_assistant_are_refused(
    tmp_path: Path, random_policy: Path, completion: list[Any], message: str
) -> None:
    with pytest.raises(InputError, match=rf"1 rows have .*{message}.*line 1"):
        bring(tmp_path, random_policy, [row(completion)])


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ({"content": "", "tool_calls": [{"name": "add"}]}, "tool calls"),
        ({"content": "\n", "reasoning_content": "Hm."}, "reasoning"),
        ({"content": "", "refusal": "No."}, "a refusal"),
        (
            {"content": [{"type": "text", "text": ""}, {"type": "tool_use", "name": "add"}]},
            "tool calls",
        ),
    ],
)
def test_an_empty_text_beside_what_is_left_out_is_refused(
    tmp_path: Path, random_policy: Path, message: dict[str, Any], kind: str
) -> None:
    """The policy would learn to say nothing, which it never did."""
    rows = [row([ANSWER]), row([{"role": "assistant", **message}])]
    with pytest.raises(InputError, match=rf"1 rows have a completion of {kind} alone, without a t"):
        bring(tmp_path, random_policy, rows)


def test_token_ids_of_several_messages_are_none_of_one(tmp_path: Path, random_policy: Path) -> None:
    rows = [row(SEVERAL["a tool between"], completion_ids=[5, 6, 7])]
    with pytest.raises(InputError, match="1 rows have token ids of several messages"):
        bring(tmp_path, random_policy, rows, source__turns="last")

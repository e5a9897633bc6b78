"""A user's own task, from a module that lies beside the command."""

from pathlib import Path

import pytest

from asymreinforce import tasks
from asymreinforce.config.task import TaskConfig
from asymreinforce.errors import ConfigError, InputError
from asymreinforce.plugins import is_plugin, load_function

OWN = """
def questions(config, split):
    for n in range(config.params["count"]):
        yield {"question": f"{split} {n}?", "gold_answer": str(n), "level": "easy"}

def failing(config, split):
    yield {"question": "1?", "gold_answer": "1"}
    raise ValueError("no more")

def shapeless(config, split):
    yield "1?"

number = 7
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"own_{tmp_path.name}"  # a module of that name is imported once in a process
    (tmp_path / f"{name}.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def config(function: str, **settings: object) -> TaskConfig:
    counts = {"train": None, "validation": 1, "held_out": 2}
    values = {"name": "mine", "kind": function, "grader": "exact", "params": {"count": 3}}
    return TaskConfig.model_validate(values | counts | settings)


def test_a_users_function_makes_the_questions(module: str) -> None:
    laid = tasks.load_task_data(config(f"{module}:questions"))
    assert [len(laid.questions[s]) for s in ("train", "validation", "held_out")] == [3, 1, 2]
    first = laid.questions["held_out"][0]
    assert (first.question, first.gold_answer, first.level) == ("held_out 0?", "0", "easy")
    assert first.prompt_id.startswith("mine-")


def test_its_code_is_part_of_what_the_prompts_are_made_of(module: str, tmp_path: Path) -> None:
    before = tasks.task_fingerprints(config(f"{module}:questions"))
    path = tmp_path / f"{module}.py"
    path.write_text(f"{path.read_text()}\n# changed\n")
    assert tasks.task_fingerprints(config(f"{module}:questions")) != before


@pytest.mark.parametrize(
    ("function", "message"),
    [("failing", "after 1 questions of train: ValueError: no more"), ("shapeless", "not str")],
)
def test_what_goes_wrong_in_it_is_said(module: str, function: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        tasks.load_task_data(config(f"{module}:{function}"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent_module_for_a_test:f", "does not import"),
        ("json:absent", "has no function absent"),
        ("json:__doc__", "has no function __doc__"),
        ("json", "not of the form module:function"),
        ("json: loads", "not of the form module:function"),
    ],
)
def test_a_function_that_is_not_there_is_named(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_function(name)


def test_a_template_with_a_colon_is_no_function() -> None:
    assert is_plugin("my.prompts:render")
    assert not any(map(is_plugin, ("Question: {question}", "{question}:answer", "a:b c", "cups")))


def test_a_questions_messages_and_metadata_are_kept_and_odd_fields_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"odd_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(
        "def questions(config, split):\n"
        "    chat = [{'role': 'user', 'content': [{'type': 'text', 'text': '1?'}]}]\n"
        "    yield {'question': chat, 'gold_answer': 5, 'metadata': {'x': float('nan')}}\n"
        "    yield {'question': '2?', 'gold_answer': config.params['gold']}\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))

    def laid(gold: object) -> list[tasks.Question]:
        settings = {"params": {"gold": gold}, "train": 2, "validation": 0, "held_out": 0}
        return tasks.load_task_data(config(f"{name}:questions", **settings)).questions["train"]

    first, second = laid("007")
    assert (first.question, first.gold_answer, second.gold_answer) == ("1?", "5", "007")
    assert first.metadata == '{"messages": [{"content": "1?", "role": "user"}], "x": null}'
    for gold, words in (
        (None, "is null"),
        ([], "is an empty list"),
        ([1, [2]], "is a list"),
        (True, "is a truth value"),
    ):
        with pytest.raises(InputError, match=f"after 2 questions of train: .*gold_answer {words}"):
            laid(gold)
    _, third = laid(["1/2", 0.5])
    assert third.gold_answer == "1/2"
    assert third.metadata == '{"gold_answers": ["1/2", "0.5"]}'

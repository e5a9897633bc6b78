"""Procedural tasks: distinct questions, disjoint splits, and entries that their grader needs."""

import json

import pytest

from asymreinforce import tasks
from asymreinforce.config.task import TaskConfig
from asymreinforce.errors import ConfigError


def config(**settings: object) -> TaskConfig:
    values = {
        "name": "reasoning_gym",
        "family": "chain_sum",
        "grader": "reasoning_gym",
        "train": 30,
        "validation": 5,
        "held_out": 10,
        **settings,
    }
    return TaskConfig.model_validate(values)


def test_splits_hold_as_many_distinct_questions_as_asked_and_share_none() -> None:
    found = {s: tasks.split_questions(config(), s) for s in ("train", "validation", "held_out")}
    assert [len(part) for part in found.values()] == [30, 5, 10]
    assert len({question.question for part in found.values() for question in part}) == 45


def test_the_metadata_hold_the_entry_with_question_and_answer() -> None:
    question = tasks.split_questions(config(), "train")[0]
    assert question.metadata
    kept = json.loads(question.metadata)
    assert (kept["family"], kept["entry"]["question"]) == ("chain_sum", question.question)
    assert kept["entry"]["answer"] == question.gold_answer
    assert question.subject == "chain_sum"


def test_a_seed_gives_the_same_questions_and_another_seed_others() -> None:
    assert tasks.split_questions(config(), "train") == tasks.split_questions(config(), "train")
    assert tasks.split_questions(config(seed=1), "train") != tasks.split_questions(
        config(), "train"
    )


def test_params_reach_the_family() -> None:
    long = tasks.split_questions(config(params={"min_terms": 6, "max_terms": 6}), "train")
    signs = [sum(q.question.count(sign) for sign in (" + ", " - ")) for q in long]
    assert set(signs) == {5}


@pytest.mark.parametrize(
    "setting", [{"family": "no_such_family"}, {"params": {"no_such_setting": 1}}, {"family": None}]
)
def test_what_the_family_does_not_know_is_a_configuration_error(setting: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"task\.name=.*reasoning-gym's gallery"):
        tasks.split_questions(config(**setting), "train")

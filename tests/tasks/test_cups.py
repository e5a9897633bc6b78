"""The world of cups by hand; what holds in every world stands in `test_worlds.py`."""

import itertools
import random

import pytest

from asymreinforce import tasks
from asymreinforce.config.task import TaskConfig
from asymreinforce.errors import ConfigError
from asymreinforce.tasks import cups
from asymreinforce.tasks.cups import Cups, draw_cups

README = Cups(3, ((4, 3), (5, 4), (3, 1), (3, 2)))
SIZES = {"train": 300, "validation": 40, "held_out": 40}


def config(**settings: object) -> TaskConfig:
    values = {"name": "cups", "grader": "final_answer", **SIZES, **settings}
    return TaskConfig.model_validate(values)


def test_the_ball_follows_its_cup() -> None:
    assert README.positions == [4, 5, 5, 5]
    assert Cups(1, ((1, 2), (2, 3), (1, 2), (3, 5))).positions == [2, 3, 3, 5]


def test_a_question_and_its_two_answers_read_as_the_readme_shows_them() -> None:
    assert README.text == "Ball under 3 Swaps: 4-3 5-4 3-1 3-2 ="
    assert README.direct_answer == " Answer: 5"
    assert README.worked_answer == " Steps: 4 5 5 Answer: 5"


def test_a_swap_is_the_same_from_either_side() -> None:
    generator = random.Random(0)
    for question in itertools.islice(draw_cups("train", seed=0), 50):
        turned = Cups(
            question.start,
            tuple((b, a) if generator.random() < 0.5 else (a, b) for a, b in question.swaps),
        )
        assert turned.positions == question.positions


def test_the_gold_answer_is_where_the_ball_ends() -> None:
    source = draw_cups("train", seed=5)
    for question in tasks.split_questions(config(seed=5), "train"):
        drawn = next(source)
        assert (question.question, question.gold_answer) == (drawn.text, str(drawn.positions[-1]))


def test_more_questions_begin_with_the_same_ones() -> None:
    assert (
        tasks.split_questions(config(train=10), "train")
        == tasks.split_questions(config(), "train")[:10]
    )


def test_an_unknown_task_names_those_there_are() -> None:
    with pytest.raises(ConfigError, match="cups, dial, count, reasoning_gym"):
        tasks.split_questions(config(name="chess"), "train")


@pytest.mark.parametrize(
    ("completion", "way"),
    [
        (" Steps: 4 5 5 Answer: 5", "worked"),
        (" Steps: 4 Answer: 1", "worked"),
        (" Answer: 5", "direct"),
        (" Steps: 4 5 5 Answer:", "other"),
        (" Answer: 5 5", "other"),
        (" Answer: 5\n", "other"),
        ("", "other"),
    ],
)
def test_a_completion_s_way_of_answering(completion: str, way: str) -> None:
    assert cups.answer_style(completion) == way

"""The embedded world by hand, and its splits."""

import hashlib
import itertools
import random

import pytest

from asymreinforce import tasks
from asymreinforce.config.task import TaskConfig
from asymreinforce.errors import ConfigError
from asymreinforce.tasks import cups
from asymreinforce.tasks.cups import Cups, draw_cups, split_of

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


def test_questions_are_distinct_and_the_splits_share_none() -> None:
    found = {
        split: tasks.split_questions(config(), split)
        for split in ("train", "validation", "held_out")
    }
    texts = [question.question for part in found.values() for question in part]
    warm_up = {q.text for q in itertools.islice(draw_cups("warm_up", seed=0), 2000)}
    assert {split: len(part) for split, part in found.items()} == SIZES
    assert len(set(texts)) == len(texts) == 380
    assert not warm_up & set(texts)
    assert len({question.prompt_id for part in found.values() for question in part}) == 380


def test_a_question_s_split_is_a_function_of_its_text_for_every_seed() -> None:
    for seed in range(3):
        for split in ("train", "held_out"):
            assert {
                split_of(q.text) for q in itertools.islice(draw_cups(split, seed=seed), 50)
            } == {split}


def test_the_splits_have_the_shares_they_say() -> None:
    generator = random.Random(0)
    counts = dict.fromkeys(cups.SPLIT_PERCENT, 0)
    for _ in range(4000):
        counts[split_of(str(generator.random()))] += 1
    for split, percent in cups.SPLIT_PERCENT.items():
        assert counts[split] / 40 == pytest.approx(percent, abs=2.2)  # three standard errors of 70%


def test_the_gold_answer_is_where_the_ball_ends() -> None:
    source = draw_cups("train", seed=5)
    for question in tasks.split_questions(config(seed=5), "train"):
        drawn = next(source)
        assert (question.question, question.gold_answer) == (drawn.text, str(drawn.positions[-1]))


def test_a_seed_gives_the_same_questions_and_another_seed_others() -> None:
    first = tasks.split_questions(config(), "held_out")
    assert tasks.split_questions(config(), "held_out") == first
    assert tasks.split_questions(config(seed=1), "held_out") != first


def test_more_questions_begin_with_the_same_ones() -> None:
    assert (
        tasks.split_questions(config(train=10), "train")
        == tasks.split_questions(config(), "train")[:10]
    )


def test_an_unknown_task_names_those_there_are() -> None:
    with pytest.raises(ConfigError, match="cups, reasoning_gym"):
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


def test_the_world_s_own_answers_are_of_both_ways() -> None:
    for question in itertools.islice(draw_cups("train", seed=0), 50):
        assert cups.answer_style(question.worked_answer) == "worked"
        assert cups.answer_style(question.direct_answer) == "direct"


def test_the_questions_of_a_seed_stay_what_they_are() -> None:
    """If this fails, the task changed: prompts of its old questions must get another name.

    Add a version to what `tasks.fingerprints` says of cups, and raise EMBEDDED_RECIPE.
    """
    found = [
        (q.prompt_id, q.question, q.gold_answer)
        for split in ("train", "validation", "held_out")
        for q in tasks.split_questions(config(seed=0), split)  # type: ignore[arg-type]
    ]
    assert hashlib.sha256(repr(found).encode()).hexdigest()[:16] == "9d086a1f6a3b020c"

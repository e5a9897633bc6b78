"""What holds in every embedded world, and the rules of each by hand."""

import hashlib
import itertools
import random
from typing import Any

import pytest

from asymreinforce import tasks
from asymreinforce.config.experiment import EMBEDDED_TASKS
from asymreinforce.config.task import TaskConfig
from asymreinforce.grading.graders import GRADERS
from asymreinforce.tasks.count import Count, is_near_miss
from asymreinforce.tasks.dial import MARKS, TURNS, Dial
from asymreinforce.tasks.world import SPLIT_PERCENT, Puzzle, World, split_of

SIZES = {"train": 300, "validation": 40, "held_out": 40}

every_world = pytest.mark.parametrize("world", tasks.WORLDS.values(), ids=tasks.WORLDS)


def config(world: str, **settings: object) -> TaskConfig:
    values = {"name": world, "grader": "final_answer", **SIZES, **settings}
    return TaskConfig.model_validate(values)


def some_puzzles(world: World[Any], count: int = 50) -> list[Puzzle]:
    return list(itertools.islice(world.draw_puzzles("train", seed=0), count))


def score(completion: str, puzzle: Puzzle) -> float | None:
    return GRADERS["final_answer"].grade(None, puzzle.gold_answer, completion, "marked").score


def test_the_configuration_knows_the_worlds() -> None:
    assert set(EMBEDDED_TASKS) == set(tasks.WORLDS)


@every_world
def test_every_example_that_warm_up_teaches_is_right(world: World[Any]) -> None:
    for puzzle in some_puzzles(world, 200):
        assert score(puzzle.direct_answer, puzzle) == score(puzzle.worked_answer, puzzle) == 1.0


@every_world
def test_a_near_miss_is_wrong(world: World[Any]) -> None:
    for puzzle in some_puzzles(world):
        start, _, gold = puzzle.direct_answer.rpartition(" ")
        assert gold == puzzle.gold_answer
        neighbours = {chr(ord(gold[-1]) - 1), chr(ord(gold[-1]) + 1), str(len(gold))} - {gold}
        for answer in (*neighbours, f"{gold}{gold}", f"{gold}.5", f"about {gold}", f"0{gold}"):
            assert score(f"{start} {answer}", puzzle) == 0.0


@every_world
def test_right_working_with_a_wrong_answer_is_wrong(world: World[Any]) -> None:
    for puzzle in some_puzzles(world):
        start, _, gold = puzzle.worked_answer.rpartition(" ")
        assert score(f"{start} {'A' if gold != 'A' else 'B'}", puzzle) == 0.0


@every_world
def test_examples_are_of_the_styles_that_they_are_taught_as(world: World[Any]) -> None:
    for puzzle in some_puzzles(world):
        assert world.answer_style(puzzle.direct_answer) == "direct"
        if world.working:
            assert world.answer_style(puzzle.worked_answer) == "worked"
            assert puzzle.worked_answer.startswith(world.working)
            assert not puzzle.direct_answer.startswith(world.working)
        else:
            assert puzzle.worked_answer == puzzle.direct_answer
        assert world.answer_style(puzzle.worked_answer + " 1") == "other"
        assert world.answer_style("") == world.answer_style(" Answer:") == "other"


@every_world
def test_questions_are_distinct_and_the_splits_share_none(world: World[Any]) -> None:
    inputs = {
        split: tasks.split_questions(config(world.name), split)
        for split in ("train", "validation", "held_out")
    }
    texts = [question.question for part in inputs.values() for question in part]
    warm_up = {q.text for q in itertools.islice(world.draw_puzzles("warm_up", seed=0), 2000)}
    assert {split: len(part) for split, part in inputs.items()} == SIZES
    assert len(set(texts)) == len(texts) == 380
    assert not warm_up & set(texts)
    assert len({question.prompt_id for part in inputs.values() for question in part}) == 380


@every_world
def test_a_question_s_split_is_a_function_of_its_text_for_every_seed(world: World[Any]) -> None:
    for seed, split in itertools.product(range(3), ("train", "held_out")):
        puzzles = itertools.islice(world.draw_puzzles(split, seed=seed), 50)
        assert {split_of(puzzle.text) for puzzle in puzzles} == {split}


def test_the_splits_have_the_shares_they_say() -> None:
    generator = random.Random(0)
    counts = dict.fromkeys(SPLIT_PERCENT, 0)
    for _ in range(4000):
        counts[split_of(str(generator.random()))] += 1
    for split, percent in SPLIT_PERCENT.items():
        assert counts[split] / 40 == pytest.approx(percent, abs=2.2)  # three standard errors of 70%


@every_world
def test_a_seed_gives_the_same_questions_and_another_seed_others(world: World[Any]) -> None:
    first = tasks.split_questions(config(world.name), "held_out")
    assert tasks.split_questions(config(world.name), "held_out") == first
    assert tasks.split_questions(config(world.name, seed=1), "held_out") != first


def test_a_dial_and_its_two_answers_read_as_its_module_shows_them() -> None:
    question = Dial(1, (2, 1, 2, 0))
    assert question.text == "Dial B: a 2 b 1 c 2 d 0 ="
    assert question.worked_answer == " Each: a 2 D b 1 E c 2 B d 0 B Answer: B"
    assert question.direct_answer == " Fourths: a 2 b 1 c 2 d 0 B Answer: B"


def test_a_dial_points_where_its_turns_add_up_to() -> None:
    assert Dial(3, (2, 0, 1, 2, 2)).marks == ["A", "A", "B", "D", "A"]
    for puzzle in some_puzzles(tasks.WORLDS["dial"]):
        turns = [int(word) for word in puzzle.text.split() if word.isdigit()]
        start = MARKS.index(puzzle.text[len("Dial ")])
        assert len(turns) == TURNS and puzzle.gold_answer == MARKS[(start + sum(turns)) % 5]


def test_a_count_reads_as_its_module_shows_it() -> None:
    question = Count("a", "cabbacaabcabccab")
    assert question.text == "Count a in c a b b a c a a b c a b c c a b ="
    assert question.direct_answer == " Answer: 6"


@pytest.mark.parametrize(
    ("answer", "is_near"),
    [("5", True), ("7", True), ("6", False), ("8", False), ("16", False), ("06", False),
     ("-5", False), ("5.0", False), ("five", False), ("", False), ("٥", False)],
)  # fmt: skip
def test_a_near_miss_is_one_above_or_below(answer: str, is_near: bool) -> None:
    assert is_near_miss(answer, "6") is is_near


@pytest.mark.parametrize(
    ("world", "digest"),
    [("cups", "9d086a1f6a3b020c"), ("dial", "d68fbb31e35c3989"), ("count", "43e3af2aba60dfaa")],
)
def test_the_questions_of_a_seed_stay_what_they_are(world: str, digest: str) -> None:
    """If this fails, the world changed: raise its `version`, so that nothing goes by an old name.

    Then write down here what it makes now.
    """
    rows = [
        (q.prompt_id, q.question, q.gold_answer)
        for split in ("train", "validation", "held_out")
        for q in tasks.split_questions(config(world), split)  # type: ignore[arg-type]
    ]
    assert hashlib.sha256(repr(rows).encode()).hexdigest()[:16] == digest


def test_only_worlds_with_a_version_add_it_to_identities() -> None:
    """The first world's directories are older than versions."""
    assert tasks.task_fingerprints(config("cups")) == {}
    assert tasks.task_fingerprints(config("count")) == {"world": "count", "version": 1}

"""Read the graded completions of one evaluated checkpoint, prompt by prompt, for a terminal.

Texts come from models and files, so the caller must show them through `untrusted`.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from asymreinforce.data import contracts
from asymreinforce.data.gold_answers import accepted_answers
from asymreinforce.errors import InputError
from asymreinforce.report.evaluated import scale_of
from asymreinforce.report.groups import best_group, group_arms
from asymreinforce.report.records import Checkpoint, Experiment, ReportedArm
from asymreinforce.rewards.scale import rewards_of


class Chosen(NamedTuple):
    """An arm and one of its evaluated checkpoints."""

    arm: ReportedArm
    checkpoint: Checkpoint


class ShownCompletion(NamedTuple):
    """A completion with its outcome: correct, incorrect, or the reason why it was left out."""

    sample: int
    outcome: str
    tokens: int
    finish_reason: str
    answer: str | None
    text: str


class QuestionCompletions(NamedTuple):
    """A prompt with all its completions; the question is None if the prompt file is absent."""

    prompt_id: str
    question: str | None
    gold_answer: str | None
    completions: tuple[ShownCompletion, ...]


def choose(
    experiment: Experiment, *, arm: str | None, step: int | None, split: str | None
) -> Chosen:
    """Choose a checkpoint of the arm whose name begins with `arm`, or of the best group's first.

    The last step is the default. Raises `InputError`, which lists the choices, if no checkpoint or
    several arms match.
    """
    own = _choose_arm(experiment, arm)
    wanted = split or experiment.split
    steps = own.evaluated(wanted)
    if not steps:
        raise InputError(
            f"arm {own.id}: has no evaluation on the split {wanted}; run 'asymrl evaluate' first"
        )
    at = max(steps) if step is None else step
    if at not in steps:
        known = ", ".join(map(str, steps))
        raise InputError(f"arm {own.id}: step {at} was not evaluated; evaluated steps: {known}")
    path = experiment.directory / steps[at].evaluation
    if not path.is_file():
        raise InputError(f"{path}: no such evaluation; run 'asymrl evaluate' to make it again")
    return Chosen(own, steps[at])


def read_completions(experiment: Experiment, chosen: Chosen) -> Iterator[QuestionCompletions]:
    """Yield the prompts of an evaluation in file order; raises `InputError` if it is damaged."""
    path = experiment.directory / chosen.checkpoint.evaluation
    rows = contracts.read_table(path, contracts.EVALUATIONS)
    given = rewards_of(rows, scale_of(chosen.arm.settings))
    questions = _read_questions(experiment)
    members: dict[str, list[ShownCompletion]] = defaultdict(list)
    for row, is_correct, is_kept in zip(
        rows.to_pylist(), given.correct_B, given.kept_B, strict=True
    ):
        outcome = "correct" if is_correct else "incorrect"
        completion = ShownCompletion(
            row["sample"], outcome if is_kept else f"left out ({row['status']})", row["tokens"],
            row["finish_reason"], row["extracted_answer"], row["text"],
        )  # fmt: skip
        members[row["prompt_id"]].append(completion)
    for prompt_id, completions in members.items():
        question, gold = questions.get(prompt_id, (None, None))
        yield QuestionCompletions(prompt_id, question, gold, tuple(sorted(completions)))


def _choose_arm(experiment: Experiment, prefix: str | None) -> ReportedArm:
    evaluated = [arm for arm in experiment.arms if arm.checkpoints]
    if not evaluated:
        raise InputError(
            f"{experiment.directory}: no arm is evaluated yet; run 'asymrl evaluate' first"
        )
    if prefix is None:
        best = best_group(group_arms(experiment))
        arms = best.arms if best else ()
        return next((arm for arm in arms if arm.outcome), evaluated[0])
    matching = [arm for arm in evaluated if arm.id.startswith(prefix)]
    if len(matching) == 1:
        return matching[0]
    known = ", ".join(arm.id for arm in (matching or evaluated)[:12])
    how = f"{len(matching)} arms begin" if matching else "no evaluated arm begins"
    raise InputError(f"{how} with {prefix!r}; name one of: {known}")


def _read_questions(experiment: Experiment) -> dict[str, tuple[str, str]]:
    questions: dict[str, tuple[str, str]] = {}
    columns = ["prompt_id", "question", "gold_answer", "metadata"]
    for rows in contracts.prompt_tables(experiment.directory, columns=columns):
        for row in rows.to_pylist():
            golds = " or ".join(accepted_answers(row["metadata"], row["gold_answer"]))
            questions[row["prompt_id"]] = row["question"], golds
    return questions

"""What is correct is one rule: all who read verdicts say the same of the same completions."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from asymreinforce.config import RewardConfig
from asymreinforce.data import contracts, files
from asymreinforce.data.store import Store
from asymreinforce.engines import transformers_engine
from asymreinforce.engines.protocol import Completion
from asymreinforce.errors import GraderError
from asymreinforce.experiment.inputs import Inputs
from asymreinforce.experiment.validation import open_validator
from asymreinforce.grading.pool import pool
from asymreinforce.grading.verdict import GradedRow, Verdict
from asymreinforce.report.experiment import read_experiment
from asymreinforce.report.groups import group_arms
from asymreinforce.report.page.samples import read_samples
from asymreinforce.rewards.counts import VerdictCounts
from asymreinforce.rewards.scale import rewards_of
from asymreinforce.rewards.sums import sums_of
from asymreinforce.viewing.completions import choose, read_completions
from asymreinforce.viewing.disagreements import find_disagreements
from tests.fixtures.experiments import small_config
from tests.fixtures.made_up_experiment import MadeUpArm, make_experiment

ROWS = (
    ("ok", 1.0, "stop"),
    ("ok", 1.0, "length"),
    ("no_answer", None, "stop"),
    ("timeout", None, "stop"),
    ("ok", 0.5, "stop"),
)
"""Status, score and finish reason of one completion of each of five prompts."""

SAID: list[tuple[dict[str, Any], tuple[bool | None, ...]]] = [
    ({}, (True, False, False, None, False)),
    ({"truncated": "as_judged"}, (True, True, False, None, False)),
    ({"truncated": "exclude"}, (True, None, False, None, False)),
    ({"no_answer": "exclude"}, (True, False, None, None, False)),
    ({"unjudged": "incorrect", "correct_at": 0.5}, (True, False, False, False, True)),
]
"""A reward scale, and which of the five are correct; None: left out."""


def evaluations() -> pa.Table:
    statuses, scores, reasons = zip(*ROWS, strict=True)
    columns: dict[str, Iterable[Any]] = {
        "prompt_id": [f"prompt-{number}" for number in range(5)],
        "sample": [0] * 5,
        "tokens": [4] * 5,
        "finish_reason": reasons,
        "text": ["a text"] * 5,
        "status": statuses,
        "score": scores,
        "extracted_answer": ["1"] * 5,
    }
    return contracts.make_table(contracts.EVALUATIONS, columns)


def verdicts() -> pa.Table:
    statuses, scores, reasons = zip(*ROWS, strict=True)
    columns: dict[str, Iterable[Any]] = {
        "prompt_id": [f"prompt-{number}" for number in range(5)],
        "sample": [0] * 5,
        "status": statuses,
        "truncated": [reason == "length" for reason in reasons],
        "grader": ["mine"] * 5,
        "grader_version": ["1"] * 5,
        "score": scores,
        "extracted_answer": ["1"] * 5,
    }
    return contracts.make_table(contracts.VERDICTS, columns)


def share(said: Sequence[bool | None]) -> float:
    """The accuracy: correct ones among those that are not left out."""
    kept = [is_correct for is_correct in said if is_correct is not None]
    return sum(kept) / len(kept)


def reported(directory: Path, reward: dict[str, Any]) -> Path:
    """Make an experiment of one arm whose last evaluation holds the five completions."""
    made_up = MadeUpArm(-0.1, 0)
    make_experiment(directory, [made_up])
    path = directory / "train" / made_up.id / "config.json"
    settings = files.read_json(path)
    settings["reward"] |= reward
    files.publish_json(path, settings)
    for evaluation in (directory / "evaluations").glob("*/*.parquet"):
        contracts.write_table(evaluation, contracts.EVALUATIONS, evaluations(), identity="")
    return directory


@pytest.mark.parametrize(("scale", "said"), SAID)
def test_all_readers_agree_on_what_is_correct(
    scale: dict[str, Any], said: tuple[bool | None, ...], tmp_path: Path
) -> None:
    reward = RewardConfig(**scale)
    for rows in (verdicts(), evaluations()):
        given = rewards_of(rows, reward)
        kept = zip(given.correct_B, given.kept_B, strict=True)
        assert tuple(bool(c) if k else None for c, k in kept) == said
    assert sums_of(evaluations(), reward, where="here").accuracy == share(said)
    tally = VerdictCounts(reward)
    tally.add(verdicts())
    assert tally.facts(k=1).accuracy == share(said)

    experiment = read_experiment(reported(tmp_path, scale))
    shown = read_samples(experiment, group_arms(experiment))
    place = [writer.role for writer in shown.writers].index("best")
    samples = {prompt.prompt_id: prompt.samples[place] for prompt in shown.prompts}
    found = tuple(sample.correct for number in range(5) if (sample := samples[f"prompt-{number}"]))
    assert found == said

    chosen = choose(experiment, arm=None, step=None, split=None)
    words = {asked.prompt_id: asked.completions for asked in read_completions(experiment, chosen)}
    called = {"correct": True, "incorrect": False}
    outcomes = [words[f"prompt-{number}"][0].outcome for number in range(5)]
    assert tuple(called.get(outcome) for outcome in outcomes) == said

    pairs = {
        pair.left: pair.rows for pair in find_disagreements(verdicts(), verdicts(), reward).pairs
    }
    assert pairs.get("correct", 0) == said.count(True)
    assert (pairs["no_answer"], pairs["timeout"]) == (1, 1)


class Drawing:
    """An engine whose five completions end as `ROWS` say."""

    def __init__(self, *settings: Any) -> None: ...
    def use(self, *model: Any, **settings: Any) -> None: ...
    def release(self) -> None: ...

    def sample(self, prompts: Sequence[Any], *settings: Any, **seed: Any) -> list[list[Completion]]:
        return [[Completion([1], [0.0], reason)] for _, _, reason in ROWS]  # type: ignore[arg-type]


class Pool:
    """A pool of graders that say what `ROWS` say."""

    def __init__(self, *settings: Any, **limits: Any) -> None: ...
    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *error: object) -> None: ...

    def grade(self, rows: Iterable[GradedRow]) -> Iterator[Verdict]:
        for _, (status, score, _) in zip(rows, ROWS, strict=True):
            yield Verdict(score, None, status)  # type: ignore[arg-type]


def validated(tmp_path: Path, policy: Path, reward: dict[str, Any]) -> float:
    """The accuracy by which training chooses its best checkpoint, of the five completions."""
    scale = {f"reward__{name}": value for name, value in reward.items()}
    config = small_config(tmp_path, policy=policy, train__validation_prompts=5, **scale)
    prompts = Store(tmp_path, {"stage": "prompts"})
    columns: dict[str, Iterable[Any]] = {
        "prompt_id": [f"prompt-{number}" for number in range(5)],
        "question": ["1 2 ="] * 5,
        "gold_answer": ["1"] * 5,
    }
    rows = contracts.make_table(contracts.PROMPTS, columns)
    prompts.plan(["validation.parquet"])
    prompts.publish(
        "validation.parquet",
        lambda path: contracts.write_table(path, contracts.PROMPTS, rows, identity=prompts.hash),
    )
    found: Any = Inputs(policy, prompts, None)  # type: ignore[arg-type]
    with open_validator(config, found) as validate:
        assert validate
        return validate(None, 1)  # type: ignore[arg-type]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transformers_engine, "TransformersEngine", Drawing)
    monkeypatch.setattr(pool, "GraderPool", Pool)


@pytest.mark.parametrize(("scale", "said"), SAID)
def test_validation_chooses_by_the_same_rule(
    scale: dict[str, Any],
    said: tuple[bool | None, ...],
    tmp_path: Path,
    random_policy: Path,
    drawn: None,
) -> None:
    assert validated(tmp_path, random_policy, scale) == share(said)


def test_validation_that_the_grader_cannot_judge_is_no_accuracy_of_0(
    tmp_path: Path, random_policy: Path, drawn: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = Verdict(None, None, "error")
    monkeypatch.setattr(Pool, "grade", lambda self, rows: [failed for _ in rows])
    with pytest.raises(GraderError, match="judge none of 5 answers"):
        validated(tmp_path, random_policy, {})


def test_a_policy_that_gives_no_answer_any_more_is_validated_at_0(
    tmp_path: Path, random_policy: Path, drawn: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = Verdict(None, None, "no_answer")
    monkeypatch.setattr(Pool, "grade", lambda self, rows: [silent for _ in rows])
    assert validated(tmp_path, random_policy, {"no_answer": "exclude"}) == 0.0

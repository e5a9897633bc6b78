import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from asymreinforce.data import contracts
from asymreinforce.report.experiment import read_experiment
from asymreinforce.report.groups import group_arms
from asymreinforce.report.page.samples import Samples, read_samples
from tests.fixtures.made_up_experiment import (
    PROMPTS,
    MadeUpArm,
    make_experiment,
    sweep,
    write_evaluation,
)


def samples_of(directory: Path) -> Samples:
    experiment = read_experiment(directory)
    return read_samples(experiment, group_arms(experiment))


def test_mu_the_best_and_the_lowest_collapsed_arm_are_shown_on_the_same_twenty_prompts(
    tmp_path: Path,
) -> None:
    make_experiment(tmp_path, sweep([-0.3, -0.1, 0.0, 0.3]), metric_files=1)
    found = samples_of(tmp_path)
    assert [writer.role for writer in found.writers] == ["mu", "best", "collapsed"]
    mu, best, collapsed = found.writers
    assert (mu.checkpoint.step, best.checkpoint.step, collapsed.checkpoint.step) == (0, 300, 300)
    assert (best.arm.baseline, best.arm.seed) == (-0.3, 0)
    lowest = min(MadeUpArm(0.3, seed).accuracy(300) for seed in (0, 1, 2))
    assert collapsed.checkpoint.accuracy == lowest
    assert len(found.prompts) == 20
    assert all(len(prompt.samples) == 3 for prompt in found.prompts)


def test_prompts_are_chosen_by_the_hash_of_their_ids(tmp_path: Path) -> None:
    make_experiment(tmp_path, sweep([-0.3], seeds=[0]), metric_files=1)
    ids = [f"prompt-{i}" for i in range(PROMPTS)]
    expected = sorted(ids, key=lambda id_: hashlib.sha256(id_.encode()).digest())[:20]
    assert [prompt.prompt_id for prompt in samples_of(tmp_path).prompts] == expected


def test_a_sample_has_its_answer_beside_the_gold_answer(tmp_path: Path) -> None:
    make_experiment(tmp_path, sweep([-0.3], seeds=[0]), metric_files=1)
    for prompt in samples_of(tmp_path).prompts:
        for sample in prompt.samples:
            assert sample is not None and sample.answer and prompt.gold_answer
            assert sample.correct == (sample.answer.text == prompt.gold_answer.text)


def test_a_sample_that_could_not_be_judged_is_neither_correct_nor_incorrect(tmp_path: Path) -> None:
    arm = MadeUpArm(-0.3, 0)
    make_experiment(tmp_path, [arm], metric_files=1)
    path = next((tmp_path / "evaluations").rglob("mu.parquet"))
    write_evaluation(path, arm, 0)
    rows = contracts.read_table(path, contracts.EVALUATIONS).to_pylist()
    columns: dict[str, Iterable[Any]] = {name: [row[name] for row in rows] for name in rows[0]}
    columns |= {"status": ["timeout"] * len(rows), "score": [None] * len(rows)}
    table = contracts.make_table(contracts.EVALUATIONS, columns)
    contracts.write_table(path, contracts.EVALUATIONS, table, identity="")
    of_mu = [prompt.samples[0] for prompt in samples_of(tmp_path).prompts]
    assert [sample and (sample.status, sample.correct) for sample in of_mu] == [
        ("timeout", None)
    ] * 20


def test_a_prompt_that_only_some_writers_answered_is_left_out(tmp_path: Path) -> None:
    make_experiment(tmp_path, sweep([-0.3], seeds=[0]), metric_files=1)
    path = next((tmp_path / "evaluations").rglob("mu.parquet"))
    rows = contracts.read_table(path, contracts.EVALUATIONS).slice(0, 10)
    contracts.write_table(path, contracts.EVALUATIONS, rows, identity="")
    assert {prompt.prompt_id for prompt in samples_of(tmp_path).prompts} == {
        f"prompt-{i}" for i in range(5)
    }

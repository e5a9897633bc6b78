"""Real rollouts of four frozen models, with labels: imported, scored, and trained on.

5,276 solutions of the 1,319 test questions of GSM8K (openai/grade-school-math).
The file is not part of this project: `ASYMRL_TEST_DATA` names the directory that holds it.
"""

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from asymreinforce.config import EmbeddedConfig, ExperimentConfig
from asymreinforce.data import contracts
from asymreinforce.data.store import Store
from asymreinforce.experiment import inputs
from asymreinforce.experiment.arm import train_arm
from asymreinforce.experiment.inputs import imported
from asymreinforce.grading.graders import GRADERS
from asymreinforce.imported import Stores, facts_of
from asymreinforce.model import embedded
from asymreinforce.model.checkpoint import quiet_transformers
from tests.fixtures import foreign_files as files
from tests.fixtures.tiny_arm import metrics

NAME = "gsm8k_model_solutions.parquet"
DATA = Path(os.environ.get("ASYMRL_TEST_DATA", "/nowhere")) / NAME
pytestmark = pytest.mark.skipif(
    not DATA.is_file(), reason=f"ASYMRL_TEST_DATA names no directory that holds {NAME}"
)
ACCURACY = {
    "6b_finetuning": 286,
    "6b_verification": 515,
    "175b_finetuning": 458,
    "175b_verification": 742,
}
CONTEXT = 2048


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random start of the embedded size with a tokenizer of these texts' own."""
    directory = tmp_path_factory.mktemp("policy") / "checkpoint"
    rows = pq.read_table(DATA, columns=["problem", "response"]).slice(0, 1500)
    texts = [*rows.column("problem").to_pylist(), *rows.column("response").to_pylist()]
    tokenizer = embedded.train_tokenizer(texts, vocabulary=1024)
    model = embedded.random_model(
        EmbeddedConfig(width=48, intermediate=96),
        context=CONTEXT,
        tokens=len(tokenizer),
        end_token=tokenizer.eos_token_id,
        seed=0,
    )
    with quiet_transformers():
        model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


@pytest.fixture(scope="module")
def solutions(
    tmp_path_factory: pytest.TempPathFactory, policy: Path
) -> tuple[ExperimentConfig, Stores]:
    config = settings(tmp_path_factory.mktemp("runs"), policy)
    return config, imported.run_import(config)


def settings(runs: Path, policy: Path, **more: Any) -> ExperimentConfig:
    given = {"policy__context": CONTEXT, "optim__steps": 2, "optim__trajectories_per_step": 64}
    return files.settings(runs, policy, DATA, **given, **more)


def test_every_solution_comes_in_under_its_policy(
    solutions: tuple[ExperimentConfig, Stores],
) -> None:
    facts = facts_of(solutions[1].rollouts)
    assert (facts.rows, facts.prompts, facts.with_logps) == (5276, 1319, 0)
    assert facts.policies == dict.fromkeys(sorted(ACCURACY), 1319)
    assert (facts.smallest_group, facts.largest_group, facts.skipped) == (4, 4, {})
    assert facts.round_trip_mismatches == 0
    assert facts.rewarded == 5276 and facts.mean_reward == pytest.approx(2001 / 5276)


def labels(store: Store, rollouts: Store) -> Counter[str]:
    """Correct rollouts by policy."""
    policies = {
        (row["prompt_id"], row["sample"]): row["policy"]
        for row in files.read(rollouts, contracts.ROLLOUTS)
    }
    verdicts = files.read(store, contracts.VERDICTS)
    return Counter(policies[v["prompt_id"], v["sample"]] for v in verdicts if v["score"] == 1)


def test_their_labels_are_verdicts(solutions: tuple[ExperimentConfig, Stores]) -> None:
    found = solutions[1]
    assert labels(found.verdicts, found.rollouts) == ACCURACY


def test_the_grader_agrees_with_every_label(
    solutions: tuple[ExperimentConfig, Stores],
) -> None:
    if "gsm8k" not in GRADERS:
        pytest.skip("there is no grader gsm8k")
    config, found = solutions
    task = config.task.model_copy(update={"grader": "gsm8k"})
    store = inputs.run_score(config.model_copy(update={"task": task}))
    given = files.read(found.verdicts, contracts.VERDICTS)
    judged = files.read(store, contracts.VERDICTS)
    assert len(judged) == 5276
    differing = [
        (a["prompt_id"], a["sample"], a["score"], b["status"], b["score"])
        for a, b in zip(given, judged, strict=True)
        if a["score"] != (b["score"] or 0.0)
    ]
    assert differing == []


def test_an_arm_trains_on_four_policies_without_log_probabilities(
    solutions: tuple[ExperimentConfig, Stores],
) -> None:
    store = train_arm(solutions[0])
    found = metrics(store)
    assert store.is_complete() and sorted(found) == [0, 1, 2]
    assert [found[step]["sequences"] for step in (1, 2)] == [64, 64]  # 16 prompts of 4 policies
    assert found[2]["slice_logp_correct"] > found[0]["slice_logp_correct"]
    assert found[0]["kl"] is None

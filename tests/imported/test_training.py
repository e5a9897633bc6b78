"""Training on foreign rollouts: groups of any size, no log-probabilities, several policies."""

import itertools
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from asymreinforce.config import ExperimentConfig
from asymreinforce.data.rollouts import ScoredRollouts
from asymreinforce.errors import ConfigError, InputError
from asymreinforce.experiment import inputs
from asymreinforce.experiment.arm import train_arm
from asymreinforce.experiment.inputs import imported
from asymreinforce.rewards.scale import total_rewards
from asymreinforce.stages.train.audit import NAME
from tests.fixtures import foreign_files as files
from tests.fixtures import slow_trainer as naive
from tests.fixtures.stored_files import read_payload
from tests.fixtures.tiny_arm import metrics

SIZES = (3, 1, 5, 2, 4, 3, 6, 2)
"""Rollouts of each of eight prompts: 26, in the mean 3.25."""


def uneven(path: Path, *, rewards: bool = True) -> Path:
    """Groups of `SIZES` rollouts, the first sample of each prompt correct."""
    rows = files.rows(prompts=len(SIZES), policies=tuple(f"mu-{i}" for i in range(max(SIZES))))
    kept = []
    for row in rows:
        prompt, policy = row["sample"] // 10, int(row["policy"][3:])
        if policy < SIZES[prompt]:
            kept.append(row | ({"reward": policy == 0} if rewards else {}))
    assert len(kept) == sum(SIZES)
    return files.jsonl(path, kept)


def config(tmp_path: Path, policy: Path, **overrides: Any) -> ExperimentConfig:
    given = {"source__prompts_per_shard": 3, "optim__trajectories_per_step": 10, **overrides}
    path = tmp_path / "a.jsonl"
    return files.settings(tmp_path / "runs", policy, path, **given)


def scored_rollouts(tmp_path: Path, policy: Path, **overrides: Any) -> ScoredRollouts:
    uneven(tmp_path / "a.jsonl")
    settings = config(tmp_path, policy, **overrides)
    imported.run_import(settings)
    return inputs.find_inputs(settings).scored


def test_an_epoch_holds_every_rollout_once_in_whole_groups(
    tmp_path: Path, random_policy: Path
) -> None:
    scored = scored_rollouts(tmp_path, random_policy)
    assert (scored.prompts, scored.samples, len(scored.chunks)) == (8, None, 3)
    batches = scored.batches(prompts=4, seed=0)
    for _ in range(2):
        seen: Counter[str] = Counter()
        for batch in (next(batches), next(batches)):
            starts = batch.group_starts
            assert len(starts) == 5
            for start, end in itertools.pairwise(starts):
                assert len({*batch.prompt_id_B[start:end]}) == 1
                assert batch.sample_B[start:end].tolist() == list(range(end - start))
            seen.update(batch.prompt_id_B.tolist())
        assert sorted(seen.values()) == sorted(SIZES)


@pytest.mark.parametrize(("trajectories", "prompts"), [(3, 1), (10, 3), (13, 4), (26, 8), (1, 1)])
def test_a_step_of_uneven_groups_holds_as_many_prompts_as_of_the_mean_size(
    tmp_path: Path, random_policy: Path, trajectories: int, prompts: int
) -> None:
    scored = scored_rollouts(tmp_path, random_policy)
    assert scored.prompts_per_step(trajectories) == prompts


def test_the_first_step_logs_what_a_slow_loop_computes(tmp_path: Path, random_policy: Path) -> None:
    """A = r - mean of the prompt's own group - baseline, divided by the step's sequences."""
    scored = scored_rollouts(tmp_path, random_policy)
    rows = next(scored.batches(prompts=3, seed=0))
    model = naive.in_fp64(random_policy)
    with torch.no_grad():
        pairs = zip(rows.prompts, rows.completions, strict=True)
        logps_B = np.array([float(naive.token_logps(model, x, y).sum()) for x, y in pairs])
    reward_B = np.where(rows.score_B == 1, 1.0, -1.0)
    advantage_B = reward_B + 0.1
    for prompt in {*rows.prompt_id_B}:
        own = rows.prompt_id_B == prompt
        advantage_B[own] -= reward_B[own].mean()
    store = train_arm(config(tmp_path, random_policy))
    found = metrics(store)
    assert store.facts["steps"] == 2  # 8 prompts in threes
    assert found[1]["sequences"] == len(reward_B)
    assert found[1]["loss"] == pytest.approx(-np.mean(advantage_B * logps_B), rel=1e-4)
    assert all(row["kl"] is None and row["ess"] is None for row in found.values())
    assert found[0]["token_entropy"] > 0


def test_the_audit_is_skipped_in_words_where_there_are_no_log_probabilities(
    tmp_path: Path, random_policy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scored_rollouts(tmp_path, random_policy)
    store = train_arm(config(tmp_path, random_policy))
    assert "mismatch audit: skipped, these rollouts have no log-prob" in capsys.readouterr().err
    assert (store.directory / NAME).read_text() == '{\n  "rollouts": 0\n}\n'


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_the_audit_is_printed_and_kept_beside_the_arm(
    tmp_path: Path, random_policy: Path, capsys: pytest.CaptureFixture[str], scale: float
) -> None:
    """Log-probabilities of the model itself agree; halved ones are noted, and training goes on."""
    model = naive.in_fp64(random_policy)
    rows = []
    for number in range(12):
        prompt, completion = np.array([5, 6, 7 + number // 3]), np.array([9, 10 + number, 11])
        with torch.no_grad():
            logps_T = scale * naive.token_logps(model, prompt, completion)
        rows.append(
            {
                "prompt_ids": prompt.tolist(),
                "completion_ids": completion.tolist(),
                "logprobs": logps_T.tolist(),
                "gold_answer": "1",
                "reward": number % 3 == 0,
            }
        )
    files.jsonl(tmp_path / "a.jsonl", rows)
    settings = config(tmp_path, random_policy)
    imported.run_import(settings)
    store = train_arm(settings)
    report = json.loads((store.directory / NAME).read_text())
    printed = capsys.readouterr().err
    assert "mismatch audit: |log pi - log mu| of 36 tokens of 12 rollouts: mean " in printed
    assert (report["rollouts"], report["tokens"]) == (12, 36)
    assert (report["mean_difference"] < 1e-4) == (scale == 1.0)
    assert bool(report["causes"]) == ("note: likely cause: " in printed) == (scale != 1.0)
    assert "warning: likely cause" not in printed  # another policy may differ


def test_a_killed_arm_resumes_bit_for_bit(tmp_path: Path, random_policy: Path) -> None:
    scored_rollouts(tmp_path, random_policy)
    settings = config(tmp_path, random_policy, optim__steps=4)
    store = train_arm(settings)
    payload = read_payload(store.directory)
    for shard in ("checkpoints/step-000004", "metrics/step-000004.parquet"):
        store.drop(shard)
    train_arm(settings)  # from step 0: no state is kept
    assert read_payload(store.directory) == payload


def test_leave_one_out_is_refused_where_prompts_have_one_rollout(
    tmp_path: Path, random_policy: Path
) -> None:
    scored_rollouts(tmp_path, random_policy)
    settings = config(tmp_path, random_policy, baseline_reference="leave_one_out")
    with pytest.raises(ConfigError, match=r"1 of 8 prompts have one; use another"):
        train_arm(settings)


def test_an_objective_of_ratios_says_that_log_probabilities_are_missing(
    tmp_path: Path, random_policy: Path
) -> None:
    scored_rollouts(tmp_path, random_policy)
    settings = config(tmp_path, random_policy, algorithm__name="ppo")
    with pytest.raises(ConfigError, match=r"algorithm=ppo needs the log-prob.*26 of 26 imported"):
        train_arm(settings)


def test_prompts_of_one_rollout_are_told_of_at_import(tmp_path: Path, random_policy: Path) -> None:
    scored_rollouts(tmp_path, random_policy)
    settings = config(tmp_path, random_policy)
    lines = imported.describe_import(
        settings, imported.find_imported(settings, checkpoint=random_policy)
    )
    assert lines[0].startswith("26 rollouts of 8 prompts (1 to 6 of a prompt)")
    assert "1 of 8 prompts have one rollout" in lines[-1]
    other = config(tmp_path, random_policy, baseline_reference="zero")
    stores = imported.find_imported(other, checkpoint=random_policy)
    assert not any("one rollout" in line for line in imported.describe_import(other, stores))


def test_without_rewards_training_asks_for_score(tmp_path: Path, random_policy: Path) -> None:
    uneven(tmp_path / "a.jsonl", rewards=False)
    settings = config(tmp_path, random_policy)
    imported.run_import(settings)
    with pytest.raises(InputError, match="run 'asymrl score' with the same settings first"):
        train_arm(settings)
    asked = config(tmp_path, random_policy, source__verdicts="imported")
    with pytest.raises(ConfigError, match="no row came with a reward"):
        train_arm(asked)
    inputs.run_score(settings)
    assert inputs.find_inputs(settings).scored.prompts == 8
    assert train_arm(settings).is_complete()


def test_graded_verdicts_train_where_they_are_asked_for(
    tmp_path: Path, random_policy: Path
) -> None:
    given = scored_rollouts(tmp_path, random_policy)
    settings = config(tmp_path, random_policy, source__verdicts="graded")
    inputs.run_score(settings)
    graded = inputs.find_inputs(settings).scored
    assert graded.fingerprint()["rollouts"] == given.fingerprint()["rollouts"]
    assert graded.fingerprint()["verdicts"] != given.fingerprint()["verdicts"]


def test_training_before_import_says_which_command_to_run(
    tmp_path: Path, random_policy: Path
) -> None:
    uneven(tmp_path / "a.jsonl")
    with pytest.raises(InputError, match="run 'asymrl import' with the same settings first"):
        train_arm(config(tmp_path, random_policy))


def test_generate_is_refused_where_rollouts_are_imported(
    tmp_path: Path, random_policy: Path
) -> None:
    with pytest.raises(ConfigError, match=r"rollouts are imported \('asymrl import'\), none made"):
        inputs.run_generate(config(tmp_path, random_policy))


def test_imported_verdicts_and_a_grader_s_are_summed(tmp_path: Path, random_policy: Path) -> None:
    uneven(tmp_path / "a.jsonl")
    both: dict[str, Any] = {"reward__graders": ["imported", "exact"], "reward__weights": [1.0, 0.5]}
    settings = config(tmp_path, random_policy, reward__workers=1, **both)
    arm_inputs = inputs.prepare_inputs(settings)
    names = arm_inputs.scored.names
    assert sorted(names) == ["rollouts", "verdicts", "verdicts of exact"]
    graders = {plan.parent.name for plan in settings.directory.glob("verdicts/*/plan.json")}
    assert graders == {names["verdicts"], names["verdicts of exact"]}  # the task's judged nothing
    rows = next(arm_inputs.scored.batches(prompts=8, seed=0))
    exact_B = rows.others["exact"].score_B
    expected_B = np.where(rows.score_B == 1, 1.0, -1.0) + 0.5 * np.where(exact_B == 1, 1.0, -1.0)
    given = total_rewards(rows.judged, settings.reward)
    assert given.reward_B.tolist() == expected_B.tolist()
    assert given.correct_B.tolist() == (rows.score_B == 1).tolist()


def test_imported_verdicts_that_did_not_come_are_refused(
    tmp_path: Path, random_policy: Path
) -> None:
    uneven(tmp_path / "a.jsonl", rewards=False)
    settings = config(tmp_path, random_policy, reward__graders=["imported", "final_answer"])
    imported.run_import(settings)
    inputs.run_score(settings)
    with pytest.raises(ConfigError, match="no row came with a reward"):
        inputs.find_inputs(settings)

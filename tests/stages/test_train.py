"""Train: what an arm leaves behind, resumption bit for bit, and what is told when it cannot."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from asymreinforce.config import ExperimentConfig
from asymreinforce.data import contracts
from asymreinforce.data.rollouts import ScoredRollouts
from asymreinforce.data.store import Store
from asymreinforce.errors import ConfigError, InputError, TrainingError
from asymreinforce.model.checkpoint import load_model
from asymreinforce.stages.train import warnings_on
from tests.fixtures import slow_trainer as naive
from tests.fixtures.experiments import small_config
from tests.fixtures.forks import failpoints_that_differ
from tests.fixtures.scored_sets import write_scored_set, write_shard
from tests.fixtures.stored_files import read_payload, read_stamps
from tests.fixtures.tiny_arm import arm, made_arm, metrics, run_arm, scored, shards, warm


def first_batch(config: ExperimentConfig, rollouts: ScoredRollouts) -> Any:
    return next(rollouts.batches(prompts=config.prompts_per_step, seed=config.seed))


@pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.campaign)])
def test_killed_at_every_failpoint_the_rerun_gives_the_same_payload(
    tmp_path: Path, random_policy: Path, every: int
) -> None:
    scored(tmp_path / "set")
    overrides = {"optim__steps": 4, "train__keep_checkpoints": 1, "train__slice_prompts": 2}
    given = (tmp_path / "set", random_policy, overrides)
    points, differing = failpoints_that_differ(tmp_path, made_arm, *given, warm=warm, every=every)
    # plan, config, run-facts, audit, 2 x (metrics, weights, state and their receipts), plan of the
    # best, provenance, manifest; four points each
    assert len(points) == 4 * (4 + 2 * 3 * 2 + 1 + 1 + 1)
    assert differing == []


class StoppedError(Exception):
    """Stands for whatever ends a run between two checkpoints."""


@pytest.mark.parametrize("stop_after", [3, 5])
def test_a_resumed_arm_equals_an_uninterrupted_one_bit_for_bit(
    tmp_path: Path, random_policy: Path, rollouts: ScoredRollouts, stop_after: int
) -> None:
    from asymreinforce.stages.train import Training, arm_store, train

    overrides = {"optim__warmup_steps": 5, "optim__weight_decay": 0.1}
    whole = arm(tmp_path / "whole", random_policy, rollouts, **overrides)
    config = small_config(tmp_path / "runs", policy=random_policy, **overrides)
    store = arm_store(config, checkpoint=random_policy, scored=rollouts, parent=tmp_path / "arm")
    done: list[int] = []

    def stop(row: dict[str, Any]) -> None:
        done.append(row["step"])
        if len(done) == stop_after:
            raise StoppedError

    settings: dict[str, Any] = {"checkpoint": random_policy, "scored": rollouts}
    with pytest.raises(StoppedError):
        train(Training(config, store, log=stop), **settings)
    before = read_stamps(store.directory)
    kept = [name for name in before if name.startswith(("metrics", "checkpoints"))]
    train(Training(config, store, log=lambda row: done.append(row["step"])), **settings)
    last = stop_after - stop_after % 2
    assert done == [*range(1, stop_after + 1), *range(last + 1, 7)]
    after = read_stamps(store.directory)
    assert len(kept) >= 2 and all(before[name] == after[name] for name in kept)
    ours, theirs = read_payload(store.directory), read_payload(whole.directory)
    assert ours.keys() == theirs.keys()
    assert [n for n in ours if ours[n] != theirs[n]] == ["config.json"]  # it names its directory


def test_a_complete_arm_is_left_alone(
    tmp_path: Path, random_policy: Path, rollouts: ScoredRollouts
) -> None:
    store = arm(tmp_path, random_policy, rollouts, optim__steps=4)
    before = read_stamps(store.directory)
    assert store.is_complete() and store.facts["steps"] == 4
    arm(tmp_path, random_policy, rollouts, optim__steps=4)
    assert read_stamps(store.directory) == before


def test_a_damaged_checkpoint_alone_is_made_again(
    tmp_path: Path, random_policy: Path, rollouts: ScoredRollouts
) -> None:
    store = arm(tmp_path, random_policy, rollouts)
    payload, before = read_payload(store.directory), read_stamps(store.directory)
    damaged = store.directory / "checkpoints" / "step-000004" / "model.safetensors"
    damaged.write_bytes(b"half")
    arm(tmp_path, random_policy, rollouts)
    assert read_payload(store.directory) == payload
    after = read_stamps(store.directory)
    untouched = {
        n for n in before if n.startswith(("checkpoints", "metrics")) and before[n] == after[n]
    }
    assert {
        n.split("/")[1] for n in before if n.startswith("checkpoints") and n not in untouched
    } == {
        "step-000004",
        "step-000004.receipt",
    }


def test_two_runs_of_one_arm_are_equal_bytes_whatever_torch_s_random_state(
    tmp_path: Path, random_policy: Path, rollouts: ScoredRollouts
) -> None:
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        store = arm(tmp_path / str(seed), random_policy, rollouts, optim__steps=4)
        found.append(read_payload(store.directory))
    first, second = found
    assert [n for n in first if first[n] != second[n]] == ["config.json"]  # it names its directory


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_validation_decodes_in_the_precision_of_training(
    tmp_path: Path, random_policy: Path, rollouts: ScoredRollouts, precision: str
) -> None:
    config = small_config(
        tmp_path / "runs", policy=random_policy, optim__steps=2, train__precision=precision
    )
    seen = []

    def validate(model: Any, step: int) -> float:
        seen.append((step, *{p.dtype for p in model.parameters()}))
        return 0.5

    store = run_arm(config, random_policy, rollouts, validate)
    assert seen == [(0, getattr(torch, precision)), (2, getattr(torch, precision))]
    saved = load_model(store.path("checkpoints/step-000002"))
    assert {p.dtype for p in saved.parameters()} == {getattr(torch, precision)}


def test_the_policy_is_mu_at_step_0_and_moves_after(
    tmp_path: Path, random_policy: Path, rollouts: ScoredRollouts
) -> None:
    found = metrics(arm(tmp_path, random_policy, rollouts))
    assert found[0]["kl"] == found[0]["log_mean_weight"] == 0.0  # exactly
    assert found[0]["ess"] == pytest.approx(1.0, abs=1e-12)
    assert found[0]["max_weight_share"] == pytest.approx(1 / 16)  # 4 prompts of 4 samples
    assert [step for step, row in found.items() if row["kl"] is not None] == [0, 2, 4, 6]
    assert found[6]["kl"] != 0 and found[6]["ess"] < 1


@pytest.mark.parametrize("setting", [{"sampling__temperature": 0.7}, {"sampling__top_p": 0.9}])
def test_kl_is_null_where_sampling_was_not_from_mu_itself(
    tmp_path: Path, random_policy: Path, rollouts: ScoredRollouts, setting: dict[str, float]
) -> None:
    store = arm(tmp_path, random_policy, rollouts, optim__steps=2, **setting)
    for row in metrics(store).values():
        assert (row["kl"], row["ess"], row["log_mean_weight"]) == (None, None, None)
    assert metrics(store)[0]["token_entropy"] > 0


def test_the_first_step_logs_what_a_slow_loop_computes(
    tmp_path: Path, random_policy: Path, rollouts: ScoredRollouts
) -> None:
    """A = r - group mean - baseline, loss = -mean(A log pi), by a loop in fp64."""
    config = small_config(tmp_path / "runs", policy=random_policy)
    rows = first_batch(config, rollouts)
    model = naive.in_fp64(random_policy)
    with torch.no_grad():
        pairs = zip(rows.prompts, rows.completions, strict=True)
        logps_B = np.array([float(naive.token_logps(model, x, y).sum()) for x, y in pairs])
    reward_B = np.where(rows.score_B == 1, 1.0, -1.0)
    mean_B = np.repeat(reward_B.reshape(4, 4).mean(1), 4)
    found = metrics(run_arm(config, random_policy, rollouts))[1]
    assert found["sequences"] == 16 and found["skipped_sequences"] == 0
    assert found["reward"] == pytest.approx(reward_B.mean())
    assert found["loss"] == pytest.approx(-np.mean((reward_B - mean_B + 0.1) * logps_B), rel=1e-4)
    assert found["logp_correct"] == pytest.approx(logps_B[reward_B == 1].mean(), rel=1e-4)
    assert found["logp_incorrect"] == pytest.approx(logps_B[reward_B == -1].mean(), rel=1e-4)
    assert found["lr"] == 1e-3


@pytest.mark.parametrize(
    ("settings", "value"),
    [
        ({"baseline_reference": "leave_one_out"}, "others"),
        ({"baseline_reference": "dataset_mean"}, "all"),
        ({"baseline_reference": "zero", "baseline": 0.25}, "zero"),
        ({"algorithm__name": "positives_only"}, "positives"),
    ],
)
def test_each_reference_and_objective_has_the_loss_of_its_formula(
    tmp_path: Path,
    random_policy: Path,
    rollouts: ScoredRollouts,
    settings: dict[str, Any],
    value: str,
) -> None:
    config = small_config(tmp_path / "runs", policy=random_policy, optim__steps=2, **settings)
    rows = first_batch(config, rollouts)
    model = naive.in_fp64(random_policy)
    with torch.no_grad():
        pairs = zip(rows.prompts, rows.completions, strict=True)
        logps_B = np.array([float(naive.token_logps(model, x, y).sum()) for x, y in pairs])
    reward_B = np.where(rows.score_B == 1, 1.0, -1.0)
    sums_B = np.repeat(reward_B.reshape(4, 4).sum(1), 4)
    scores = np.concatenate([t.column("score").to_numpy() for t in rollouts.verdict_columns()])
    coefficients_B = {
        "others": reward_B - (sums_B - reward_B) / 3 + 0.1,
        "all": reward_B - np.where(scores == 1, 1.0, -1.0).mean() + 0.1,
        "zero": reward_B - 0.25,
        "positives": (reward_B == 1).astype(float),
    }[value]
    found = metrics(run_arm(config, random_policy, rollouts))[1]
    assert found["loss"] == pytest.approx(-np.mean(coefficients_B * logps_B), rel=1e-4)
    assert found["skipped_sequences"] == int((coefficients_B == 0).sum())
    assert (found["logp_incorrect"] is None) == (value == "positives")


@pytest.mark.parametrize(
    "settings",
    [
        {"algorithm__name": "m2po"},
        {"algorithm__name": "dpo"},
        {"algorithm__name": "tis", "baseline_reference": "minimum_variance"},
    ],
)
def test_an_objective_of_the_whole_step_trains_and_its_micro_batches_change_nothing(
    tmp_path: Path,
    random_policy: Path,
    rollouts: ScoredRollouts,
    settings: dict[str, Any],
) -> None:
    first, second = (
        metrics(
            arm(
                tmp_path,
                random_policy,
                rollouts,
                optim__steps=3,
                train__tokens_per_micro_batch=tokens,
                **settings,
            )
        )
        for tokens in (64, 1024)
    )
    for step in (1, 2, 3):
        for key in ("loss", "grad_norm"):
            assert first[step][key] == pytest.approx(second[step][key], rel=1e-3)
    assert first[1]["grad_norm"] != pytest.approx(first[3]["grad_norm"], rel=1e-3)


def test_arms_of_one_seed_read_the_same_order_and_another_seed_another(
    tmp_path: Path, random_policy: Path, rollouts: ScoredRollouts
) -> None:
    rewards = [
        [row["reward"] for row in metrics(arm(tmp_path, random_policy, rollouts, **s)).values()]
        for s in ({"baseline": -0.1}, {"baseline": 0.3}, {"seed": 1})
    ]
    assert rewards[0] == rewards[1] != rewards[2]


def test_groups_of_equal_rewards_are_kept_and_at_baseline_0_skipped(
    tmp_path: Path, random_policy: Path
) -> None:
    same = scored(tmp_path / "set")
    config = small_config(
        tmp_path / "runs", policy=random_policy, reward__correct_at=1.0, baseline=0.0
    )
    rows = first_batch(config, same)
    equal = sum(len({*part}) == 1 for part in rows.score_B.reshape(4, 4).tolist())
    found = metrics(run_arm(config, random_policy, same))
    assert found[1]["skipped_sequences"] == 4 * equal
    assert sum(row["skipped_sequences"] for row in found.values()) > 0
    shifted = metrics(arm(tmp_path, random_policy, same, baseline=-0.1))
    assert sum(row["skipped_sequences"] for row in shifted.values()) == 0


def unjudged(parent: Path) -> ScoredRollouts:
    """The same set, of which no verdict was reached."""
    rollouts, verdicts = write_scored_set(parent, prompts=24, samples=4)
    other = Store(parent / "unjudged", verdicts.identity)
    other.plan(verdicts.planned)
    for name in verdicts.planned:
        rows = contracts.read_table(verdicts.path(name), contracts.VERDICTS).to_pydict()
        rows |= {"status": ["timeout"] * len(rows["status"]), "score": [None] * len(rows["status"])}
        receipt = rollouts.receipt(name)
        assert receipt
        write_shard(other, name, contracts.VERDICTS, rows, 8, receipt.sha256)
    return ScoredRollouts(rollouts, other, samples=4)


def test_a_set_of_which_nothing_was_judged_is_refused(tmp_path: Path, random_policy: Path) -> None:
    with pytest.raises(InputError, match="judged"):
        arm(tmp_path, random_policy, unjudged(tmp_path))


def test_cuda_without_a_device_is_a_configuration_error(
    tmp_path: Path, random_policy: Path, rollouts: ScoredRollouts
) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(ConfigError, match=r"train\.device=cuda, but.*no CUDA device: .*device=cpu"):
        arm(tmp_path, random_policy, rollouts, train__device="cuda")


def test_a_step_that_is_not_finite_is_named_with_the_last_good_checkpoint(
    tmp_path: Path, random_policy: Path, rollouts: ScoredRollouts
) -> None:
    with pytest.raises(
        TrainingError, match=rf"step 2 of 6 is not finite.*is {random_policy}; lower"
    ):
        arm(tmp_path, random_policy, rollouts, optim__lr=1e30)


def test_the_last_good_checkpoint_stays_and_loads(
    tmp_path: Path, random_policy: Path, rollouts: ScoredRollouts
) -> None:
    with pytest.raises(TrainingError, match=r"step 2 of 6.*step-000001") as caught:
        arm(tmp_path, random_policy, rollouts, optim__lr=1e30, train__checkpoint_every=1)
    kept = Path(str(caught.value).split("checkpoint is ")[1].split(";")[0])
    assert all(bool(p.isfinite().all()) for p in load_model(kept).parameters())
    assert shards(Store.open(kept.parents[1]), "checkpoints") == ["step-000001"]


@pytest.mark.parametrize("vocabulary", [300, 100_000])
def test_tokens_beyond_the_vocabulary_are_of_another_tokenizer(
    tmp_path: Path, random_policy: Path, vocabulary: int
) -> None:
    foreign = scored(tmp_path / "set", vocabulary=vocabulary)
    with pytest.raises(InputError, match=r"knows 2\d\d tokens.*another tokenizer"):
        arm(tmp_path, random_policy, foreign)


def test_a_token_beyond_the_vocabulary_is_found_in_every_step(
    tmp_path: Path, random_policy: Path
) -> None:
    """Only the slice is read at the start; this one stands outside of it."""
    foreign = scored(tmp_path / "set")
    rows, read = foreign.read(foreign.chunks[-1]), ScoredRollouts.read
    rows.completions[-1] = np.array([5, 4000])

    class Foreign(ScoredRollouts):
        def read(self, chunk: str, **settings: Any) -> Any:
            return rows if chunk == self.chunks[-1] else read(self, chunk)

    foreign.__class__ = Foreign
    with pytest.raises(InputError, match="the rollouts hold token 4000"):
        arm(tmp_path, random_policy, foreign)


def test_too_few_prompts_for_a_step_are_said(tmp_path: Path, random_policy: Path) -> None:
    few = scored(tmp_path / "set", prompts=3)
    with pytest.raises(InputError, match="3 prompts make no step of 4"):
        arm(tmp_path, random_policy, few)


def test_an_unknown_objective_is_refused_before_anything_is_written(
    tmp_path: Path, random_policy: Path, rollouts: ScoredRollouts
) -> None:
    with pytest.raises(ConfigError, match=r"algorithm\.name=adam is unknown"):
        arm(tmp_path, random_policy, rollouts, algorithm__name="adam")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("samples", "reference", "count"),
    [(1, "group_mean", 1), (1, "zero", 0), (2, "group_mean", 0)],
)
def test_a_group_of_one_sample_that_is_its_own_mean_is_warned_of(
    tmp_path: Path,
    random_policy: Path,
    rollouts: ScoredRollouts,
    samples: int,
    reference: str,
    count: int,
) -> None:
    config = small_config(
        tmp_path,
        policy=random_policy,
        sampling__samples_per_prompt=samples,
        baseline_reference=reference,
    )
    said = warnings_on(config, rollouts)
    assert len([line for line in said if "its own mean" in line]) == count

"""Rounds: which prompts and rollouts each trains on, and what goes on between them."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from asymreinforce.data.order import prompts_from
from asymreinforce.data.store import Store
from asymreinforce.errors import ConfigError
from asymreinforce.experiment import refresh, rounds, running
from asymreinforce.experiment.arm import train_arm
from asymreinforce.experiment.open_arm import open_arm
from asymreinforce.model.checkpoint import load_model
from asymreinforce.model.fingerprint import checkpoint_fingerprint
from asymreinforce.planning.plan import plan
from tests.fixtures.rounds import (
    STEPS,
    Engine,
    Trained,
    records,
    rows_of,
    run,
    settings,
)


def test_the_plan_counts_what_the_rounds_drew(trained: Trained) -> None:
    config, store, _ = trained
    drawn = [
        sum(pq.read_metadata(path).num_rows for path in made_in.glob("*.parquet"))
        for made_in in (config.directory / "rollouts" / r["rollouts"] for r in records(store))
    ]
    found = plan([config])
    assert (found.rounds, found.completions, found.refreshed) == (3, drawn[0], sum(drawn[1:]))
    assert sum(drawn[1:]) == 2 * 2 * 16


def test_each_rounds_rollouts_carry_the_weights_that_they_come_from(trained: Trained) -> None:
    config, store, engine = trained
    found = records(store)
    assert [(r["round"], r["start"], r["end"]) for r in found] == [(0, 0, 2), (1, 2, 4), (2, 4, 6)]
    weights = [
        Path(config.policy.source),
        *(store.path(f"checkpoints/step-{s:06d}") for s in (2, 4)),
    ]
    assert engine.loaded == weights
    for record, path in zip(found, weights, strict=True):
        assert record["policy"] == checkpoint_fingerprint(path)
        rollouts = Store.open(config.directory / "rollouts" / record["rollouts"])
        assert rollouts.is_complete()
        policies = {
            policy
            for name in rollouts.planned
            for policy in pq.read_table(rollouts.path(name)).column("policy").to_pylist()
        }
        assert policies == {record["policy"]}


def test_a_later_round_draws_just_what_its_steps_need_with_a_seed_of_its_own(
    trained: Trained,
) -> None:
    config, store, _ = trained
    sets = [Store.open(config.directory / "rollouts" / r["rollouts"]) for r in records(store)]
    facts = [[rollouts.receipt(name) for name in rollouts.planned] for rollouts in sets]
    prompts = [sum(f.facts["prompts"] for f in found if f) // 2 for found in facts]  # two blocks
    assert prompts == [24, 8, 8]
    assert len({rollouts.identity["sampling"]["seed"] for rollouts in sets}) == 3


def test_the_steps_of_every_round_read_the_prompts_that_one_set_would_have_given_them(
    trained: Trained,
) -> None:
    config, _, _ = trained
    arm = open_arm(config)
    found = arm.inputs
    pool = list(found.scored.batches(prompts=4, seed=config.seed).__next__().prompt_id_B[::4])
    assert len(pool) == 4
    expected = found.scored.batches(prompts=4, seed=config.seed)
    for start in (0, 2, 4):
        scored = refresh.find_round_rollouts(arm, refresh.round_at(arm, start))
        batches = scored.batches(prompts=4, seed=None if start else config.seed)
        for _ in range(2):
            assert list(next(batches).prompt_id_B) == list(next(expected).prompt_id_B)


def test_prompts_go_on_in_the_next_epochs_order_where_the_pool_is_used_up() -> None:
    counts = [3, 2]
    first = list(prompts_from(counts, seed=5, first=0, prompts=5))
    both = list(prompts_from(counts, seed=5, first=0, prompts=12))
    assert sorted(first) == sorted(both[5:10]) == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]
    assert both[:5] == first
    assert list(prompts_from(counts, seed=5, first=4, prompts=3)) == both[4:7]
    assert both[:5] != both[5:10]


def test_a_round_longer_than_the_pool_draws_each_prompt_once_and_goes_over_them_again(
    tmp_path: Path, random_policy: Path
) -> None:
    config = settings(tmp_path, random_policy, refresh_every=8, optim__steps=16)
    store, _ = run(config)
    second = Store.open(config.directory / "rollouts" / records(store)[1]["rollouts"])
    receipts = [second.receipt(name) for name in second.planned]
    assert sum(r.facts["prompts"] for r in receipts if r) // 2 == 24  # 8 steps of 4 read 32
    assert store.facts["steps"] == 16


def test_staleness_counts_the_steps_since_mu_became_pi_and_kl_starts_from_zero(
    trained: Trained,
) -> None:
    rows = rows_of(trained[1])
    assert [(row["step"], row["staleness"]) for row in rows] == [
        (0, 0), (1, 1), (2, 2), (2, 0), (3, 1), (4, 2), (4, 0), (5, 1), (6, 2),
    ]  # fmt: skip
    starts = [row for row in rows if row["staleness"] == 0]
    assert [row["kl"] for row in starts] == [0.0, 0.0, 0.0]
    assert [row["ess"] for row in starts] == pytest.approx([1.0, 1.0, 1.0])
    ends = [row["kl"] for row in rows if row["staleness"] == 2]
    assert all(kl is not None and kl != 0 for kl in ends)


def test_log_mu_of_a_rounds_slice_is_the_training_models_own_at_its_start(
    trained: Trained,
) -> None:
    """Held against a plain forward pass of the weights that the round starts from."""
    config, store, _ = trained
    arm = open_arm(config)
    scored = refresh.find_round_rollouts(arm, refresh.round_at(arm, 4))
    rows = scored.read(scored.chunks[0])
    count = int(rows.group_starts[4])
    model = load_model(store.path("checkpoints/step-000004"))
    expected = []
    for prompt, completion in zip(rows.prompts[:count], rows.completions[:count], strict=True):
        ids = torch.tensor([[*prompt, *completion]], dtype=torch.long)
        logps = model(ids).logits.detach()[0, len(prompt) - 1 : -1].log_softmax(-1)
        expected.append(float(logps.gather(1, torch.tensor(completion).long()[:, None]).sum()))
    correct = np.nan_to_num(rows.score_B[:count]) >= 1
    (start,) = [r for r in rows_of(store) if (r["step"], r["staleness"]) == (4, 0)]
    if correct.any():
        assert start["slice_logp_correct"] == pytest.approx(np.mean(np.array(expected)[correct]))
    assert start["slice_logp_incorrect"] == pytest.approx(np.mean(np.array(expected)[~correct]))


def test_up_to_the_first_refresh_an_arm_is_the_one_that_never_refreshes(
    tmp_path: Path, random_policy: Path
) -> None:
    refreshed, _ = run(settings(tmp_path, random_policy))
    never, _ = run(settings(tmp_path, random_policy, refresh_every=None))
    name = "checkpoints/step-{:06d}/model.safetensors"
    same = [
        (refreshed.directory / name.format(s)).read_bytes()
        == (never.directory / name.format(s)).read_bytes()
        for s in (2, 4)
    ]
    assert same == [True, False]
    sets = list((tmp_path / "runs/small/rollouts").iterdir())
    assert len(sets) == 3  # round 0 is shared


def test_an_arm_that_never_refreshes_is_the_one_that_train_makes(
    tmp_path: Path, random_policy: Path
) -> None:
    ran, _ = run(settings(tmp_path, random_policy, refresh_every=None))
    plain = settings(tmp_path, random_policy, refresh_every=None)
    assert train_arm(plain).directory == ran.directory
    longer = settings(tmp_path, random_policy, refresh_every=STEPS)  # the first round is the last
    assert open_arm(longer).store.directory == ran.directory


def test_the_optimizer_and_its_schedule_go_on_from_round_to_round(
    tmp_path: Path, random_policy: Path
) -> None:
    """Fresh moments or a warm-up begun again would show in the steps and in the learning rate."""
    store, _ = run(settings(tmp_path, random_policy, optim__warmup_steps=6, train__keep_state=True))
    rates = [row["lr"] for row in rows_of(store) if row["lr"] is not None]
    assert rates == pytest.approx([1e-3 * n / 6 for n in range(1, 7)])
    from safetensors.torch import load_file

    state = load_file(store.path("state/step-000006") / "state.safetensors")
    counts = {float(value) for name, value in state.items() if name.startswith("optimizer.step.")}
    assert counts == {6.0}


def test_on_policy_makes_rollouts_for_every_step_and_keeps_the_checkpoints_asked_for(
    tmp_path: Path, random_policy: Path
) -> None:
    config = settings(tmp_path, random_policy, rounds=4, refresh_every=1, train__checkpoint_every=2)
    store, engine = run(config)
    assert store.facts["steps"] == 4
    assert len(engine.loaded) == 4
    trained = [row for row in rows_of(store) if row["sequences"]]
    assert [row["staleness"] for row in trained] == [1, 1, 1, 1]
    kept = sorted(path.name for path in (store.directory / "checkpoints").glob("step-??????"))
    assert kept == ["step-000002", "step-000004"]
    assert len(list((config.directory / "rollouts").iterdir())) == 4


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"rounds": 2, "refresh_every": None}, "needs refresh_every"),
        ({"rounds": 2, "optim__steps": 6}, "set optim.steps=null"),
        (
            {"source": {"path": "rollouts.jsonl"}, "task__name": "imported"},
            "leave one of them null",
        ),
    ],
)
def test_rounds_that_say_two_things_are_refused(
    tmp_path: Path, random_policy: Path, overrides: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        settings(tmp_path, random_policy, **overrides)


def test_train_makes_no_rollouts_and_names_the_command_that_does(
    tmp_path: Path, random_policy: Path
) -> None:
    with pytest.raises(ConfigError, match="asymrl run"):
        train_arm(settings(tmp_path, random_policy))


def test_one_engine_serves_the_first_rollouts_every_round_and_the_evaluation(
    tmp_path: Path, random_policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Engine] = []

    @contextlib.contextmanager
    def open_engine(*given: Any, **named: Any) -> Iterator[Engine]:
        opened.append(Engine(config))
        yield opened[-1]

    config = settings(tmp_path, random_policy, sweep__workers=1)
    arms = [config, config.model_copy(update={"baseline": 0.1})]
    monkeypatch.setattr(running, "open_engine", open_engine)
    result = rounds.run_in_rounds(arms)
    assert result.failed == []
    assert result.summary is not None
    assert result.summary.column("step").to_pylist() == [STEPS, STEPS]
    assert len(opened) == 1
    # round 0, two later rounds of each arm, and mu with three checkpoints of each
    assert len(opened[0].loaded) == 1 + 2 * 2 + 1 + 2 * 3


def test_another_architecture_takes_another_engine_in_place_of_the_one_that_runs(
    tmp_path: Path, random_policy: Path
) -> None:
    config = settings(tmp_path, random_policy)
    policy = config.policy
    with running.Engines() as engines:
        first = engines.of(config)
        other_seed = policy.model_copy(update={"seed": 1})
        assert engines.of(config.model_copy(update={"policy": other_seed})) is first
        longer = policy.model_copy(update={"context": 48})
        assert engines.of(config.model_copy(update={"policy": longer})) is not first


def test_each_round_is_judged_by_every_grader_of_a_summed_reward(
    tmp_path: Path, random_policy: Path
) -> None:
    summed: dict[str, Any] = {"reward__graders": ["final_answer", "exact"], "optim__steps": 4}
    config = settings(tmp_path, random_policy, **summed)
    store, engine = run(config)
    found = records(store)
    assert len(found) == 2
    for record in found:
        for name, grader in (("verdicts", "final_answer"), ("verdicts of exact", "exact")):
            verdicts = Store.open(config.directory / "verdicts" / record[name])
            assert verdicts.is_complete()
            assert verdicts.identity["grader"]["name"] == grader
            assert verdicts.identity["rollouts"] == record["rollouts"]
    arm = open_arm(config)
    later = refresh.find_round_rollouts(arm, refresh.round_at(arm, 2))
    assert later.names == {key: found[1][key] for key in later.names} and len(later.names) == 3
    calls = engine.calls
    run(config, engine)
    assert engine.calls == calls

"""Rounds with replay: what each draws and trains on, kills, pairs of arms; means over rounds."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from asymreinforce.config import ExperimentConfig
from asymreinforce.data import contracts
from asymreinforce.data.rows import Rows
from asymreinforce.data.store import Store
from asymreinforce.engines.transformers_engine import TransformersEngine
from asymreinforce.errors import ConfigError, InputError
from asymreinforce.experiment import inputs, refresh
from asymreinforce.experiment.earlier_rounds import earlier_rounds
from asymreinforce.experiment.open_arm import arm_store, open_arm
from asymreinforce.experiment.rounds import train_in_rounds
from asymreinforce.planning.plan import plan
from asymreinforce.stages.train.replay import ReplayBuffer
from tests.experiment.test_interrupted_rounds import kill_at
from tests.fixtures import kills as killing
from tests.fixtures.rounds import KilledError, records, rows_of, run, settings
from tests.fixtures.stored_files import read_payload

REPLAY = {"replay__capacity": 1, "replay__fresh_share": 0.5, "replay__positive_bias": 1.0}


def replaying(place: Path, policy: Path, **overrides: Any) -> ExperimentConfig:
    return settings(place, policy, **{**REPLAY, **overrides})


class Trained:
    """Three rounds of two steps with replay, and the rows that each step read."""

    def __init__(self, place: Path, policy: Path, **overrides: Any):
        self.config = replaying(place, policy, **overrides)
        self.steps: dict[int, Rows] = {}
        add = ReplayBuffer.add

        def recorded(buffer: ReplayBuffer, step: int, fresh: Rows) -> Rows:
            self.steps[step] = add(buffer, step, fresh)
            return self.steps[step]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ReplayBuffer, "add", recorded)
            self.store, self.engine = run(self.config)

    def groups_of(self, step: int) -> list[tuple[int, str]]:
        """(round, prompt) of each group of a step."""
        rows = self.steps[step]
        assert rows.origins is not None
        starts = rows.group_starts[:-1]
        return list(zip(rows.origins.round_B[starts], rows.prompt_id_B[starts], strict=True))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, random_policy: Path) -> Trained:
    return Trained(tmp_path_factory.mktemp("replay"), random_policy)


def test_a_later_round_draws_its_share_and_the_plan_says_so(trained: Trained) -> None:
    sets = [
        Store.open(trained.config.directory / "rollouts" / record["rollouts"])
        for record in records(trained.store)
    ]
    drawn = [
        sum(pq.read_metadata(path).num_rows for path in rollouts.directory.glob("*.parquet"))
        for rollouts in sets
    ]
    assert drawn == [96, 16, 16]  # 24 prompts, then 2 steps of 2 prompts, of 4 samples
    assert plan([trained.config]).refreshed == 32


def test_the_questions_that_a_step_draws_are_among_those_that_it_reads_without_replay(
    trained: Trained,
) -> None:
    found = inputs.find_inputs(trained.config)
    whole = found.scored.batches(prompts=4, seed=trained.config.seed)
    for step in range(1, 7):
        rows = next(whole)
        read = [str(name) for name in rows.prompt_id_B[rows.group_starts[:-1]]]
        current = (step - 1) // 2
        own = [name for number, name in trained.groups_of(step) if number == current]
        assert own == (read[:2] if current else read)


def test_a_step_replays_the_groups_of_the_rounds_that_are_held(trained: Trained) -> None:
    numbers = {step: [number for number, _ in trained.groups_of(step)] for step in trained.steps}
    assert numbers[1] == numbers[2] == [0] * 4
    assert numbers[3] == numbers[4] == [1, 1, 0, 0]
    assert [numbers[step][:2] for step in (5, 6)] == [[2, 2]] * 2
    assert {n for step in (5, 6) for n in numbers[step][2:]} <= {0, 1}
    read_in_round_0 = {name for step in (1, 2) for _, name in trained.groups_of(step)}
    replayed = {name for s in (3, 4, 5, 6) for n, name in trained.groups_of(s)[2:] if n == 0}
    assert replayed <= read_in_round_0


def test_completions_keep_their_policy_and_what_is_too_old_teaches_by_its_correct_ones(
    trained: Trained,
) -> None:
    for step, rows in trained.steps.items():
        assert rows.origins is not None
        age = (step - 1) // 2 - rows.origins.round_B
        is_wrong = ~(np.nan_to_num(rows.score_B) >= 1)
        assert (rows.origins.is_muted_B == ((age > 1) & is_wrong)).all()
    found = records(trained.store)
    assert [record["replayed"] for record in found] == [
        [],
        [found[0]["rollouts"]],
        [found[0]["rollouts"], found[1]["rollouts"]],
    ]
    for record in found:
        rollouts = Store.open(trained.config.directory / "rollouts" / record["rollouts"])
        tables = [
            pq.read_table(rollouts.path(name), columns=["policy"]) for name in rollouts.planned
        ]
        assert {p for table in tables for p in table.column("policy").to_pylist()} == {
            record["policy"]
        }


def test_metrics_say_how_old_a_steps_completions_are(trained: Trained) -> None:
    trained_rows = [row for row in rows_of(trained.store) if row["sequences"]]
    assert [row["fresh_sequences"] for row in trained_rows] == [16, 16, 8, 8, 8, 8]
    assert [row["mean_age"] for row in trained_rows[:4]] == [1, 2, 2, 3]
    assert [row["max_age"] for row in trained_rows[:4]] == [1, 2, 3, 4]
    assert [row["mean_age_rounds"] for row in trained_rows[:4]] == [0, 0, 0.5, 0.5]
    assert [row["max_age_rounds"] for row in trained_rows[:4]] == [0, 0, 1, 1]
    for row in trained_rows:
        rows = trained.steps[row["step"]]
        assert rows.origins is not None
        counts = ~rows.origins.is_muted_B
        assert row["mean_age"] == (row["step"] - rows.origins.start_B[counts]).mean()
        own = rows.origins.start_B == rows.origins.start_B.max()
        correct = np.nan_to_num(rows.score_B[own]) >= 1
        assert row["reward"] == pytest.approx(np.where(correct, 1.0, -1.0).mean())


def test_kl_is_against_the_policy_of_the_round_whatever_is_replayed(trained: Trained) -> None:
    starts = [row for row in rows_of(trained.store) if row["staleness"] == 0]
    assert [row["kl"] for row in starts] == [0.0, 0.0, 0.0]


def test_arms_whose_baselines_differ_draw_the_same_groups(
    trained: Trained, tmp_path: Path, random_policy: Path
) -> None:
    """Without a positive bias the buffer holds the same prompts whatever the verdicts are."""
    arms = [
        Trained(tmp_path / f"{n}", random_policy, baseline=baseline, replay__positive_bias=0.0)
        for n, baseline in enumerate((-0.3, 0.2))
    ]
    assert arms[0].store.hash != arms[1].store.hash
    for step in range(1, 7):
        assert arms[0].groups_of(step) == arms[1].groups_of(step)
    other_seed = Trained(tmp_path / "seed", random_policy, seed=1, replay__positive_bias=0.0)
    assert [other_seed.groups_of(s) for s in (3, 4)] != [arms[0].groups_of(s) for s in (3, 4)]


def test_without_replay_an_arm_is_named_and_written_as_ever(
    tmp_path: Path, random_policy: Path
) -> None:
    """The shares say nothing where nothing is held, nor a buffer where there is one round."""
    plain = settings(tmp_path, random_policy)
    store, _ = run(plain)
    found = inputs.find_inputs(plain)
    idle = replaying(tmp_path, random_policy, replay__capacity=0)
    assert arm_store(idle, found).hash == store.hash
    assert "replay" not in store.identity
    names = pq.read_schema(next((store.directory / "metrics").glob("*.parquet"))).names
    optional = contracts.METRICS.optional - {"momentum_cosine"}  # measured in every arm
    assert names == [name for name in contracts.METRICS.schema.names if name not in optional]
    assert records(store)[1].keys() == {
        *("round", "start", "end", "policy", "rollouts", "verdicts"),
    }
    one_round = replaying(tmp_path, random_policy, refresh_every=6)
    assert (
        arm_store(one_round, found).hash
        == arm_store(settings(tmp_path, random_policy, refresh_every=6), found).hash
    )
    with_replay = replaying(tmp_path, random_policy)
    assert arm_store(with_replay, found).identity["replay"] == {
        "capacity": 1,
        "fresh_share": 0.5,
        "positive_bias": 1.0,
    }


def run_for_real(place: Path, policy: Path) -> None:
    """Do all that is missing, and train, on completions that the policy itself draws."""
    config = replaying(
        *(place, policy), algorithm__name="topr", baseline=0.0, train__checkpoint_every=1
    )
    engine = TransformersEngine(config.engine, config.policy)
    inputs.prepare_inputs(config, engine=engine)
    train_in_rounds(config, engine=engine)


def payload(place: Path) -> dict[str, bytes]:
    """All that a run leaves but settings, which say where it lies."""
    return {k: v for k, v in read_payload(place).items() if not k.endswith("config.json")}


def test_killed_twice_by_sigkill_a_run_goes_on_to_the_same_payload(
    tmp_path: Path, random_policy: Path
) -> None:
    """Once when round 1 is drawn and not recorded, once in the middle of round 2."""
    whole, killed, again = (tmp_path / name for name in ("whole", "killed", "again"))
    points = killing.failpoints(tmp_path / "points", run_for_real, whole, random_policy)
    killing.kill_at(1 + points.index("write step-000002.json"), run_for_real, killed, random_policy)
    shutil.copytree(killed, again)
    points = killing.failpoints(tmp_path / "rest", run_for_real, again, random_policy)
    assert "write step-000002.json" in points
    in_round_2 = 1 + points.index("write step-000006.parquet")
    killing.kill_at(in_round_2, run_for_real, killed, random_policy)
    (arm,) = (killed / "runs/small/train").glob("*/")
    assert sorted(path.name for path in (arm / "metrics").glob("*.parquet")) == [
        f"step-{step:06d}.parquet" for step in range(1, 6)
    ]
    assert killing.run(run_for_real, killed, random_policy) == 0
    expected = payload(whole)
    assert sum(name.endswith(".safetensors") for name in expected) >= 6
    assert payload(killed) == expected
    assert payload(again) == expected


def test_rollouts_that_are_replayed_and_are_gone_are_named(
    tmp_path: Path, random_policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replaying(tmp_path, random_policy)
    kill_at(5, monkeypatch)
    with pytest.raises(KilledError):
        run(config)
    monkeypatch.undo()
    store = open_arm(config).store
    gone = config.directory / "rollouts" / records(store)[1]["rollouts"]
    gone.rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=rf"{gone}: .* replays it: put it back"):
        run(config)
    (tmp_path / "elsewhere").rename(gone)
    assert run(config)[0].is_complete()


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"refresh_every": None}, "replay.capacity=1 holds rollouts of earlier rounds"),
        ({"replay__fresh_share": 0.3}, "take 1/4 = 0.25"),
        ({"replay__fresh_share": 0.1}, "take 1/4 = 0.25"),
        ({"replay__fresh_share": 0.9}, "take 3/4 = 0.75"),
        ({"replay__fresh_share": 1.0}, "replay.fresh_share=1 never replays"),
        ({"replay__fresh_share": 0.0}, "replay.fresh_share"),
        ({"optim__trajectories_per_step": 4}, "a step of one group"),
        ({"replay__capacity": -1}, "replay.capacity"),
        ({"replay__positive_bias": 1.5}, "replay.positive_bias"),
        (
            {"refresh_every": 1, "replay__fresh_share": 0.25},
            "would replay 3 groups, .* steps hold 1: raise replay.capacity",
        ),
        (
            {"baseline_reference": "running_mean", "refresh_every": None, "replay__capacity": 0},
            "running_mean is a mean over rounds.*set refresh_every",
        ),
    ],
)
def test_replay_that_cannot_be_is_refused(
    tmp_path: Path, random_policy: Path, overrides: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        replaying(tmp_path, random_policy, **overrides)


def test_shares_of_what_is_not_held_are_no_error(tmp_path: Path, random_policy: Path) -> None:
    """`replay.capacity=0,2` is swept beside one share, and null rounds have none."""
    config = replaying(tmp_path, random_policy, replay__capacity=0, replay__fresh_share=0.3)
    assert config.fresh_prompts_per_step == 4


def mean_reward(config: ExperimentConfig, verdicts: str) -> float:
    store = Store.open(config.directory / "verdicts" / verdicts)
    tables = [contracts.read_table(store.path(n), contracts.VERDICTS) for n in store.planned]
    scores = np.concatenate([t.column("score").to_numpy() for t in tables])
    return float(np.where(np.nan_to_num(scores) >= 1, 1.0, -1.0).mean())


def test_the_running_mean_is_folded_round_by_round_and_stands_in_the_records(
    tmp_path: Path, random_policy: Path
) -> None:
    given: dict[str, Any] = {"baseline_reference": "running_mean", "baseline_decay": 0.75}
    config = replaying(tmp_path, random_policy, **given)
    store, _ = run(config)
    found = records(store)
    means = [mean_reward(config, record["verdicts"]) for record in found]
    assert len(set(means)) == 3
    expected = means[:1]
    for mean in means[1:]:
        expected.append(0.75 * expected[-1] + 0.25 * mean)
    assert [record["running_mean"] for record in found] == pytest.approx(expected, abs=1e-12)
    assert store.identity["baseline_decay"] == 0.75
    other = replaying(tmp_path, random_policy, **given | {"baseline_decay": 0.5})
    assert open_arm(other).store.hash != store.hash


def test_a_replayed_completion_is_measured_by_the_mean_of_its_own_round(
    tmp_path: Path, random_policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from asymreinforce.stages.train.objective import ArmObjective, RewardedRows

    seen: list[tuple[int, float]] = []
    advantages = ArmObjective.advantages

    def recorded(objective: ArmObjective, rewarded: RewardedRows, *, baseline: float) -> Any:
        values_B = advantages(objective, rewarded, baseline=baseline)
        assert rewarded.rows.origins is not None
        references_B = rewarded.reward_B - values_B - (-0.1)
        numbers_B = rewarded.rows.origins.round_B.tolist()
        seen.extend(zip(numbers_B, references_B.tolist(), strict=True))
        return values_B

    monkeypatch.setattr(ArmObjective, "advantages", recorded)
    for reference in ("dataset_mean", "running_mean"):
        seen.clear()
        config = replaying(tmp_path, random_policy, baseline_reference=reference)
        store, _ = run(config)
        found = records(store)
        means = [r.get("running_mean", mean_reward(config, r["verdicts"])) for r in found]
        assert {number for number, _ in seen} == {0, 1, 2}
        assert all(value == pytest.approx(means[number], abs=1e-12) for number, value in seen)


def test_two_ranks_are_trained_on_the_same_groups(
    tmp_path: Path, random_policy: Path, trained: Trained
) -> None:
    """Each reads the tokens of its share; what is summed up is equal, but for rounding."""
    config = replaying(tmp_path, random_policy, train__processes=2)
    store, _ = run(config)
    steps = [[r for r in rows_of(arm) if r["sequences"]] for arm in (store, trained.store)]
    for ours, theirs in zip(*steps, strict=True):
        exact = ("step", "sequences", "reward", "fresh_sequences", "mean_age", "max_age_rounds")
        assert [ours[name] for name in exact] == [theirs[name] for name in exact]
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-4)


def test_replayed_rounds_have_the_verdicts_of_every_grader(
    tmp_path: Path, random_policy: Path
) -> None:
    """Two graders that agree pay twice what one pays, in replayed rows as in fresh ones."""
    place, summed = tmp_path / "summed", ["final_answer", "exact"]
    config = replaying(place, random_policy, reward__graders=summed, optim__steps=4)
    run(config)
    arm = open_arm(config)
    round_ = refresh.round_at(arm, 2)
    scored = refresh.find_round_rollouts(arm, round_)
    taken = earlier_rounds(arm, round_, scored)
    assert [set(past.scored.names) for past in taken.replayed] == [set(scored.names)]
    assert set(scored.names) == {"rollouts", "verdicts", "verdicts of exact"}

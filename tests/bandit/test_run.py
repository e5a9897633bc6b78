from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from asymrl.bandit import bandit_job
from omegaconf import OmegaConf

from asymreinforce.bandit.config import BanditConfig, parse_settings
from asymreinforce.bandit.contracts import BANDIT_CHAINS, BANDIT_LIMITS, BANDIT_TRACES
from asymreinforce.bandit.problem import draw_rewards
from asymreinforce.bandit.run import chain_steps, run_bandit
from asymreinforce.data import contracts
from asymreinforce.errors import ConfigError, InputError

SMALL: dict[str, Any] = {
    "arms": 30,
    "seed": [43, 0],
    "baseline": [-0.1, 0.0, 0.05],
    "baseline_reference": "behaviour_mean",
    "steps": 2000,
    "records": 10,
}


def rows(config: BanditConfig, directory: Path) -> list[dict[str, Any]]:
    return run_bandit(config, directory=directory).chains.to_pylist()


def test_policy_improvement_of_seed_43_earns_what_was_worked_out(tmp_path: Path) -> None:
    config = parse_settings(
        {"baseline": [0.4, 0.5, 0.525, 0.54, 0.6], "steps": 500, "iterations": 40}
    )
    rewards = [row["reward"] for row in rows(config, tmp_path)]
    assert rewards == pytest.approx([0.990, 0.972, 0.954, 0.953, 0.886], abs=5e-4)


def test_every_chain_has_a_row_with_its_limit(tmp_path: Path) -> None:
    found = rows(parse_settings(SMALL), tmp_path)
    assert [(row["seed"], row["baseline"]) for row in found] == [
        (seed, baseline) for seed in (43, 0) for baseline in (-0.1, 0.0, 0.05)
    ]
    for row in found:
        assert row["offset"] == row["baseline"]
        assert row["total_variation"] < 0.02
        assert row["reward"] == pytest.approx(row["limit_reward"], abs=0.02)
        assert sum(row["policy"]) == pytest.approx(1, abs=1e-12)
        assert row["limit_support"] == (1 if row["baseline"] >= 0 else row["limit_support"])
    assert found[0]["limit_support"] > 1


def test_traces_run_from_mu_to_the_last_step(tmp_path: Path) -> None:
    result = run_bandit(parse_settings(SMALL), directory=tmp_path)
    traces = contracts.read_table(result.directory / "traces.parquet", BANDIT_TRACES).to_pylist()
    for chain in result.chains.to_pylist():
        own = [moment for moment in traces if moment["chain"] == chain["chain"]]
        assert [own[0]["step"], own[-1]["step"]] == [0, 2000]
        assert own[0]["reward"] == chain["behaviour_reward"]
        assert own[-1]["reward"] == chain["reward"]
        assert own[-1]["total_variation"] == chain["total_variation"]
        assert [m["step"] for m in own] == sorted({m["step"] for m in own})


def test_the_dense_closed_form_spans_v_mu(tmp_path: Path) -> None:
    result = run_bandit(parse_settings(SMALL), directory=tmp_path)
    limits = contracts.read_table(result.directory / "limits.parquet", BANDIT_LIMITS).to_pylist()
    assert {row["seed"] for row in limits} == {43, 0}
    own = [row for row in limits if row["seed"] == 43 and row["offset"] <= 0]
    assert [row["support"] for row in own] == sorted((r["support"] for r in own), reverse=True)
    assert own[0]["support"] == 30
    assert own[-1]["support"] == 1
    # At V - V^mu = .3 a single arm of any kind attracts, the worst included.
    last = max((row for row in limits if row["seed"] == 43), key=lambda row: row["offset"])
    draw = draw_rewards(43, 30)
    assert last["support"] == 30
    assert (last["lowest_reward"], last["highest_reward"]) == (float(draw.min()), float(draw.max()))


def test_group_means_are_held_against_the_v_that_they_mean(tmp_path: Path) -> None:
    settings = {"baseline_reference": "group_mean", "samples": 4, "group_size": [2, 4]}
    for row in rows(parse_settings(SMALL | settings | {"steps": 50}), tmp_path):
        share = row["group_size"] / (row["group_size"] - 1)
        assert row["offset"] == pytest.approx(row["baseline"] * share, abs=1e-15)
        assert row["value"] == pytest.approx(row["behaviour_reward"] + row["offset"], abs=1e-15)
        assert (row["limit_reward"] is None) == (row["baseline"] > 0)


def test_iterated_exact_limits_stand_beside_finite_steps(tmp_path: Path) -> None:
    config = parse_settings(
        SMALL | {"baseline": [-0.2], "baseline_reference": "initial_mean"} | MANY
    )
    result = run_bandit(config, directory=tmp_path)
    traces = contracts.read_table(result.directory / "traces.parquet", BANDIT_TRACES).to_pylist()
    assert [m["iteration"] for m in traces if m["chain"] == 0] == [0, 1, 2, 3, 4, 5]
    for moment in traces:
        assert moment["reward"] == pytest.approx(moment["limit_reward"], abs=1e-3)


MANY = {"steps": 20_000, "iterations": 5}


def test_a_bench_that_is_complete_is_not_run_again(tmp_path: Path) -> None:
    config = parse_settings(SMALL)
    first = run_bandit(config, directory=tmp_path)
    before = (first.directory / "chains.parquet").stat().st_mtime_ns
    told: list[int] = []
    again = run_bandit(config, directory=tmp_path, progress=told.append)
    assert again.directory == first.directory
    assert (again.directory / "chains.parquet").stat().st_mtime_ns == before
    assert sum(told) == chain_steps(config) == 6 * 2000


def test_other_settings_get_another_directory(tmp_path: Path) -> None:
    one = run_bandit(parse_settings(SMALL), directory=tmp_path)
    other = run_bandit(parse_settings(SMALL | {"steps": 100}), directory=tmp_path)
    assert one.directory != other.directory
    assert one.chains.column("steps")[0].as_py() == 2000


def test_progress_counts_every_step_of_every_chain_once(tmp_path: Path) -> None:
    config = parse_settings(
        SMALL | {"steps": [10, 30], "iterations": 4, "update": ["asymre", "clipped"]}
    )
    told: list[int] = []
    run_bandit(config, directory=tmp_path, progress=told.append)
    assert sum(told) == chain_steps(config) == 2 * 6 * 4 * (10 + 30)


def test_equal_settings_give_equal_rows(tmp_path: Path) -> None:
    settings = SMALL | {"samples": 4, "steps": 300, "update": ["asymre", "importance_weighted"]}
    one = run_bandit(parse_settings(settings), directory=tmp_path / "one")
    other = run_bandit(parse_settings(settings), directory=tmp_path / "other")
    assert one.chains.equals(other.chains)
    assert one.chains.column("noise").null_count == 0


def test_an_unstable_learning_rate_is_refused_with_one_that_is_stable(tmp_path: Path) -> None:
    settings = {"baseline": [-0.5], "baseline_reference": "behaviour_mean", "steps": 10}
    with pytest.raises(ConfigError, match=r"lr=40 is unstable .* use lr < 34\.63"):
        run_bandit(parse_settings(settings | {"lr": 40}), directory=tmp_path)
    assert not list(tmp_path.iterdir())
    run_bandit(parse_settings(settings | {"lr": 34.6}), directory=tmp_path)


def test_given_rewards_take_the_place_of_a_draw(tmp_path: Path) -> None:
    settings = {"arms": 3, "rewards": [1.0, 0.0, 0.5], "baseline": [0.2], "steps": 5000}
    (row,) = rows(parse_settings(settings), tmp_path)
    assert row["best_reward"] == 1.0
    assert row["total_variation"] < 1e-3


def test_the_tables_say_which_contract_they_keep(tmp_path: Path) -> None:
    directory = run_bandit(parse_settings(SMALL), directory=tmp_path).directory
    metadata = pq.read_schema(directory / "chains.parquet").metadata
    assert metadata[b"contract"] == b"bandit_chains/1"
    with pytest.raises(InputError, match=r"holds bandit_chains/1, not bandit_traces/1"):
        contracts.read_table(directory / "chains.parquet", BANDIT_TRACES)
    assert contracts.read_table(directory / "chains.parquet", BANDIT_CHAINS).num_rows == 6


def test_the_command_runs_draws_and_prints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = SMALL | {"experiment": "section_5_1", "directory": str(tmp_path), "runs_dir": "runs"}
    bandit_job(OmegaConf.create(config))
    printed = capsys.readouterr().out
    assert "section_5_1, seed 43" in printed
    assert "figures/limit-by-value.svg" in printed
    (directory,) = tmp_path.iterdir()
    assert (directory / "figures" / "reward-by-step.png").stat().st_size > 10_000


def test_the_command_names_a_wrong_setting(tmp_path: Path) -> None:
    config = SMALL | {"baseline": "abc", "directory": str(tmp_path)}
    with pytest.raises(ConfigError, match="baseline"):
        bandit_job(OmegaConf.create(config))

"""Configurations from overrides: the same as Hydra's own multirun makes, at the cost of one."""

from pathlib import Path

import hydra
import pytest
from asymrl import jobs
from asymrl.api import load
from asymrl.bridge import run_hydra
from asymrl.commands import PAPER_SWEEP
from asymrl.compose import compose_arms

from asymreinforce.errors import ConfigError

SWEEPS = (
    (),
    ("algorithm=asymre,positives_only", "baseline=0,0.2"),
    ("optim.betas=[0.9,0.95],[0.8,0.9]", "seed=range(2)"),
    ("optim={lr:0.1},{eps:0.2}", "optim.lr=0.5"),
    ("optim.lr=0.5,0.25", "optim={eps:0.2}"),
    ("experiment=refresh,cups", "optim.steps=5,null"),
    ("task=gsm8k,cups", "task.max_tokens=12,16", "+tracker.tags=[a],[b]"),
)


@pytest.mark.parametrize("overrides", SWEEPS, ids=" ".join)
def test_arms_are_those_that_hydra_composes(overrides: tuple[str, ...], tmp_path: Path) -> None:
    own = [*overrides, f"runs_dir={tmp_path}"]
    jobs.COLLECTED.clear()
    try:
        run_hydra(jobs.collect_job, ["--multirun", "hydra/launcher=basic", *own])
    except ConfigError as error:
        with pytest.raises(ConfigError) as raised:
            compose_arms(own)
        assert str(raised.value) == str(error)
        return
    composed = compose_arms(own)
    assert composed == jobs.COLLECTED
    assert len({arm.model_dump_json() for arm in composed}) == len(composed)


@pytest.mark.parametrize(
    "wrong",
    ["baselin=0,1", "baseline=x,1", "optim.lr=[", "algorithm=foo,asymre", "seed=interval(0,1)"],
)
def test_what_is_wrong_is_told_as_hydra_tells_it(wrong: str) -> None:
    with pytest.raises(ConfigError) as expected:
        run_hydra(jobs.collect_job, ["--multirun", "hydra/launcher=basic", wrong])
    with pytest.raises(ConfigError) as raised:
        compose_arms([wrong])
    assert str(raised.value) == str(expected.value)


def test_arms_that_differ_in_values_are_composed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made, compose_by_hydra = [], hydra.compose

    def counted(*given: object, **named: object) -> object:
        made.append(named)
        return compose_by_hydra(*given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(hydra, "compose", counted)
    arms = compose_arms([f"{key}={value}" for key, value in PAPER_SWEEP.items()])
    assert len(arms) == 24 and len({(arm.baseline, arm.seed) for arm in arms}) == 24
    assert len(made) == 1
    seeds = {(arm.policy.seed, arm.sampling.seed, arm.seed) for arm in arms}
    assert seeds == {(k, k, k) for k in (0, 1, 2)}


def test_nothing_is_written(tmp_path: Path) -> None:
    compose_arms([f"runs_dir={tmp_path}/runs", "seed=0,1"])
    assert list(tmp_path.iterdir()) == []


def test_one_configuration_is_asked_for_and_several_are_refused() -> None:
    config = load("baseline=-0.2", "runs_dir=~/x")
    assert (config.baseline, config.runs_dir) == (-0.2, Path("~/x").expanduser())
    with pytest.raises(ConfigError, match="2 configurations"):
        load("seed=0,1")

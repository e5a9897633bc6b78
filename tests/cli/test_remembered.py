"""What an experiment was made with stands in its directory: `name=` alone goes on with it."""

import json
from pathlib import Path
from typing import Any

import pytest
from asymrl import api
from asymrl.remembered import asked, words

from asymreinforce.data.experiment_record import FILE
from asymreinforce.errors import ConfigError
from tests.cli.test_settings import composed
from tests.fixtures.commands import EMBEDDED, TINY, asymrl, published, refused, tiny

MADE = ("name=sums", "optim.lr=3e-4", "task.seed=5")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs directory with an experiment of which the prompts and the policy are made."""
    runs_dir = tmp_path_factory.mktemp("remembered") / "runs"
    assert tiny("init", runs_dir, *MADE, "baseline=0.2").code == 0
    return runs_dir


def printed(runs_dir: Path, *settings: str) -> Any:
    return composed(asymrl("train", f"runs_dir={runs_dir}", *settings, "--cfg", "job"))


def test_the_name_alone_goes_on_with_the_experiment(made: Path) -> None:
    values = printed(made, "name=sums")
    assert (values["optim"]["lr"], values["task"]["seed"], values["task"]["train"]) == (3e-4, 5, 48)
    assert values["baseline"] == -0.1  # of one arm alone
    other = printed(made, "name=other")
    assert (other["optim"]["lr"], other["task"]["seed"]) == (1e-4, 0)


def test_python_goes_on_with_an_experiment_of_the_command_line(made: Path) -> None:
    config = api.load("name=sums", f"runs_dir={made}")
    assert (config.optim.lr, config.task.seed) == (3e-4, 5)
    other = api.load("name=sums", f"runs_dir={made}", "task.seed=6")
    with pytest.raises(ConfigError, match=r"task.seed=6, and .* has 5"):
        api.run_stage("init", other)


def test_the_command_line_goes_on_with_an_experiment_of_python(tmp_path: Path) -> None:
    file = tmp_path / "sums.yaml"
    file.write_text(f"runs_dir: {tmp_path}\noptim.lr: 3e-4\ntask.seed: 5\nbaseline: [-0.3, 0]\n")
    arms = api.load_arms(str(file), *TINY, *EMBEDDED)
    assert [(arm.name, arm.baseline, arm.optim.lr) for arm in arms] == [
        ("sums", -0.3, 3e-4), ("sums", 0, 3e-4),
    ]  # fmt: skip
    api.run_stage("init", arms[0])
    values = printed(tmp_path, "name=sums")
    assert (values["optim"]["lr"], values["task"]["seed"], values["task"]["train"]) == (3e-4, 5, 48)


def test_what_is_given_stands_above_what_is_remembered(made: Path) -> None:
    values = printed(made, "name=sums", "optim.lr=1e-3", "seed=4", "reward=zero_one")
    assert (values["optim"]["lr"], values["seed"], values["task"]["seed"]) == (1e-3, 4, 5)
    assert values["reward"]["incorrect"] == 0


def test_a_setting_of_other_prompts_is_refused_by_name(made: Path) -> None:
    before = published(made)
    for command in ("init", "train", "sweep"):
        message = refused(
            asymrl(command, f"runs_dir={made}", "name=sums", "task.seed=6", "baseline=0.1"),
            f"task.seed=6, and {made / 'sums'} has 5",
            "another name=",
            f"delete {made / 'sums'}",
            "--change",
        )
        assert "baseline" not in message
    assert published(made) == before


def test_a_file_that_says_otherwise_is_refused(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sums.yaml").write_text(f"runs_dir: {made}\nengine: transformers\ntask.train: 48")
    message = refused(asymrl("init", "sums.yaml"), "sums was made with other settings")
    assert "task.seed=0, and" in message


@pytest.mark.parametrize("setting", ["baseline=0.1", "seed=9", "optim.lr=1e-3", "train.threads=2"])
def test_an_arm_may_differ(setting: str, runs_dir: Path) -> None:
    settings = (f"runs_dir={runs_dir}", "name=cups", setting, "optim.steps=1")
    outcome = asymrl("train", *settings)
    if setting.startswith("train.threads"):
        refused(outcome, "train.threads=2")  # the embedded policy is made with as many
        return
    assert outcome.code == 0, outcome.err
    assert "complete, 1 steps" in outcome.err


def test_one_more_replicate_is_the_same_experiment(tmp_path: Path) -> None:
    """It draws a policy and rollouts of its own, beside those that are there."""
    runs = tmp_path / "runs"
    assert tiny("init", runs, "name=cups").code == 0
    assert asymrl("init", f"runs_dir={runs}", "name=cups", "replicate=1").code == 0
    assert len(list((runs / "cups/policy").iterdir())) == 2
    message = refused(
        asymrl("init", f"runs_dir={runs}", "name=cups", "policy.seed=2"), "policy.seed=2"
    )
    assert "sampling.seed" not in message
    assert printed(runs, "name=cups")["replicate"] == 0


def test_an_experiment_can_be_changed(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    assert tiny("init", runs, *MADE).code == 0
    (first,) = (runs / "sums/prompts").iterdir()
    change = ("name=sums", "task.seed=6", "--change")
    assert asymrl("init", f"runs_dir={runs}", *change).code == 0
    assert len(list((runs / "sums/prompts").iterdir())) == 2 and first.exists()
    values = printed(runs, "name=sums")
    assert (values["task"]["seed"], values["optim"]["lr"]) == (6, 3e-4)


def test_more_samples_of_the_same_prompts_are_the_same_experiment(runs_dir: Path) -> None:
    more = ("name=cups", "sampling.samples_per_prompt=6", "optim.trajectories_per_step=12")
    assert asymrl("generate", f"runs_dir={runs_dir}", *more).code == 0


def test_what_failed_before_it_began_is_not_remembered(tmp_path: Path) -> None:
    settings = ("name=sums", f"runs_dir={tmp_path}/runs")
    refused(asymrl("init", *settings, "model=checkpoint", f"policy.source={tmp_path}/none"))
    assert published(tmp_path) == {}
    assert words(settings) == []


def test_an_experiment_of_before_is_taken_down_once_a_command_succeeded(runs_dir: Path) -> None:
    (runs_dir / "cups" / FILE).unlink()
    refused(asymrl("generate", f"runs_dir={runs_dir}", "name=cups", "task.seed=9"), "asymrl init")
    assert not (runs_dir / "cups" / FILE).exists()
    assert tiny("generate", runs_dir, "name=cups").code == 0
    taken_down = json.loads((runs_dir / "cups" / FILE).read_text())
    assert taken_down["settings"]["task.train"] == 48


def test_the_embedded_experiment_need_not_be_named_and_may_be_played_with(runs_dir: Path) -> None:
    before = (runs_dir / "cups" / FILE).read_bytes()
    assert tiny("init", runs_dir, "task.seed=3").code == 0
    assert (runs_dir / "cups" / FILE).read_bytes() == before


def test_place_launcher_and_one_arms_settings_are_not_remembered() -> None:
    given = ["name=a", "runs_dir=x", "seed=3", "baseline=-0.1,0", "hydra/launcher=slurm"]
    found = asked([*given, "optim.lr=1"], given=given, is_change=False)
    assert found.words == ["baseline=-0.1,0", "optim.lr=1"]
    assert found.is_named


@pytest.mark.parametrize("name", ["name=${oc.env:X}", "name=a,b", "name=", "seed=1"])
def test_a_name_that_is_none_finds_nothing(name: str) -> None:
    assert words([name, "runs_dir=~nobody-at-all/runs"]) == []

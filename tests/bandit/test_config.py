from pathlib import Path
from typing import Any

import pytest
from asymrl.bandit import hydra_overrides
from asymrl.bridge import conf_directory
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from asymreinforce.bandit.config import BanditConfig, make_batches, parse_settings
from asymreinforce.errors import ConfigError

PRESETS = sorted(path.stem for path in (conf_directory() / "bandit_experiment").glob("*.yaml"))


def composed(*arguments: str) -> dict[str, Any]:
    """Return the settings that `asymrl bandit ARGUMENTS` composes."""
    with initialize_config_dir(version_base="1.3", config_dir=str(Path(conf_directory()))):
        found = compose(config_name="bandit", overrides=hydra_overrides(list(arguments)))
    settings = OmegaConf.to_container(found, resolve=True)
    assert isinstance(settings, dict)
    return {str(key): value for key, value in settings.items()}


def parsed(*arguments: str) -> BanditConfig:
    settings = composed(*arguments)
    return parse_settings({k: v for k, v in settings.items() if k not in ("runs_dir", "directory")})


def test_every_experiment_has_a_preset() -> None:
    names = BanditConfig.model_fields["experiment"].annotation
    assert sorted(names.__args__) == PRESETS  # type: ignore[union-attr]


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_parses_and_has_a_directory_of_its_own(preset: str) -> None:
    assert parsed(f"experiment={preset}").experiment == preset
    assert composed(f"experiment={preset}")["directory"] == f"runs/bandit/{preset}"


def test_the_default_is_378_chains_of_100_000_steps() -> None:
    (batch,) = make_batches(parsed())
    assert (len(batch.chains), batch.steps, batch.iterations) == (378, 100_000, 1)


def test_comma_lists_become_one_grid() -> None:
    config = parsed(
        "baseline=-0.3,-0.1,0", "baseline_reference=behaviour_mean", "seed=0,1,2", "arms=50"
    )
    assert config.baseline == (-0.3, -0.1, 0.0)
    assert config.seed == (0, 1, 2)
    (batch,) = make_batches(config)
    assert [(c.seed, c.baseline) for c in batch.chains][:4] == [
        (0, -0.3),
        (0, -0.1),
        (0, 0.0),
        (1, -0.3),
    ]


def test_one_value_needs_no_list() -> None:
    assert parsed("seed=7", "baseline=-0.1").seed == (7,)


def test_a_total_of_steps_is_kept_whatever_the_refresh_interval() -> None:
    config = parsed("experiment=stale_mu", "steps=10,5000", "total_steps=20000")
    assert [batch.iterations for batch in make_batches(config)] == [2000, 4]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"baseline": ["abc"]}, "baseline.0='abc': Input should be a valid number"),
        ({"baseline": float("nan")}, "baseline.0=nan: Input should be a finite number"),
        ({"arms": 1}, "arms=1: Input should be greater than or equal to 2"),
        ({"arms": 2, "rewards": [0.1, float("inf")]}, "rewards.1=inf: Input should be a finite"),
        ({"rewards": [0.1, 0.2]}, "rewards: 2 of them for arms=100; give one for each arm"),
        ({"rewards": [0.5] * 100, "seed": [0, 1]}, "seed: the rewards are given"),
        ({"lr": 0}, "lr.0=0: Input should be greater than 0"),
        ({"seed": [1, 1]}, "seed: 1 is listed twice"),
        ({"gamma": 1}, "gamma: no such setting"),
        ({"baseline_reference": "group_mean"}, "group_size belongs to"),
        (
            {"baseline_reference": "group_mean", "group_size": 3, "samples": 16},
            "16 arms a step make no whole groups of 3",
        ),
        ({"iterations": None}, "give iterations or total_steps"),
        ({"iterations": None, "total_steps": 10}, "steps: 50 are more than total_steps=10"),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_expected(
    settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match="bandit: ") as caught:
        parse_settings({"baseline": [-0.1], "steps": [50]} | settings)
    assert words in str(caught.value)

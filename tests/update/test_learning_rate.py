"""The learning rate of each step, by numbers."""

from pathlib import Path

import pytest

from asymreinforce.config import OptimConfig
from asymreinforce.model.checkpoint import load_model
from asymreinforce.update.learning_rate import learning_rate_share
from tests.fixtures import slow_trainer as naive


def shares(steps: int, **optim: object) -> list[float]:
    config = OptimConfig(lr=1.0, trajectories_per_step=1, **optim)  # type: ignore[arg-type]
    return [
        round(learning_rate_share(step, config, steps=steps), 4) for step in range(1, steps + 1)
    ]


@pytest.mark.parametrize(
    ("optim", "expected"),
    [
        ({}, [1, 1, 1, 1, 1]),
        ({"warmup_steps": 4}, [0.25, 0.5, 0.75, 1, 1]),
        ({"schedule": "linear", "final_lr_share": 0.2}, [1, 0.8, 0.6, 0.4, 0.2]),
        ({"schedule": "linear", "final_lr_share": 0}, [1, 0.75, 0.5, 0.25, 0]),
        ({"schedule": "cosine", "final_lr_share": 0}, [1, 0.8536, 0.5, 0.1464, 0]),
        ({"schedule": "cosine"}, [1, 0.8682, 0.55, 0.2318, 0.1]),
        ({"schedule": "cosine", "warmup_steps": 3}, [0.3333, 0.6667, 1, 0.55, 0.1]),
        ({"schedule": "linear", "warmup_steps": 5}, [0.2, 0.4, 0.6, 0.8, 1]),
        ({"schedule": "linear", "warmup_steps": 9}, [0.1111, 0.2222, 0.3333, 0.4444, 0.5556]),
    ],
)
def test_the_rate_rises_by_warm_up_and_decays_to_its_floor_at_the_last_step(
    optim: dict[str, object], expected: list[float]
) -> None:
    assert shares(5, **optim) == expected


def test_an_arm_of_one_step_takes_it_at_the_whole_rate() -> None:
    assert shares(1, schedule="cosine") == [1]


def test_a_rate_that_decays_needs_the_steps_of_the_arm(random_policy: Path) -> None:
    with pytest.raises(ValueError, match=r"optim\.schedule=cosine needs the steps"):
        naive.trainer(load_model(random_policy), schedule="cosine")

"""A user's own objective and baseline: what is refused, and what they compute."""

from pathlib import Path
from typing import Any

import pytest
import torch

from asymreinforce.algorithm.objective import advantages
from asymreinforce.algorithm.table import objective_identity, objective_of
from asymreinforce.config import AlgorithmConfig
from asymreinforce.errors import ConfigError
from tests.fixtures import step_gradients as computed
from tests.fixtures import table_policy as naive

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "own_objective.py"
BROKEN = {
    "def f(advantages_B, correct_B): return advantages_B.sum()": "one number per sequence",
    "def f(advantages_B, correct_B): return [0.0] * 6": "it returned list",
    "def f(advantages_B, correct_B): return advantages_B / 0": "finite numbers",
    "def f(advantages_B, correct_B): return correct_B": "finite numbers",
    "def f(advantages_B): return advantages_B": "fails .TypeError",
    "def f(advantages_B, correct_B): return advantages_B - advantages_B.mean()": "another group",
    "g = 1": "has no function f",
}


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's directory, with the example in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / EXAMPLE.name).write_text(EXAMPLE.read_text())
    return tmp_path


def linear(function: str) -> AlgorithmConfig:
    return AlgorithmConfig(name="linear", function=function)


@pytest.mark.parametrize(("number", "code"), enumerate(BROKEN))
def test_coefficients_that_break_their_contract_are_refused(
    number: int, code: str, own: Path
) -> None:
    (own / f"broken_{number}.py").write_text(code)
    with pytest.raises(ConfigError, match=BROKEN[code]):
        objective_of(linear(f"broken_{number}:f"), baseline_reference="group_mean")


def test_losses_that_do_not_depend_on_the_policy_are_refused(own: Path) -> None:
    (own / "constant.py").write_text("def f(logps_C, mu_C, a_B, sequence_of_C): return a_B")
    config = AlgorithmConfig(name="ratio", function="constant:f")
    with pytest.raises(ConfigError, match="do not depend on log pi"):
        objective_of(config, baseline_reference="group_mean")


def test_a_reference_that_looks_at_other_prompts_is_refused(own: Path) -> None:
    (own / "mean_of_all.py").write_text("def f(r_B, groups_B): return r_B.mean().expand(len(r_B))")
    rewards_B = torch.tensor([1.0, -1.0])
    with pytest.raises(ConfigError, match="another group"):
        advantages(rewards_B, torch.tensor([0, 0]), baseline=0, reference_name="mean_of_all:f")


def test_a_function_belongs_to_linear_and_ratio_and_they_need_one() -> None:
    with pytest.raises(ConfigError, match="does not enter asymre; algorithm=linear takes"):
        objective_of(AlgorithmConfig(function="own_objective:bounded"), baseline_reference="zero")
    with pytest.raises(ConfigError, match="needs your own coefficients"):
        objective_of(AlgorithmConfig(name="linear"), baseline_reference="zero")


def test_a_median_baseline_by_hand() -> None:
    rewards_B = torch.tensor([1.0, -1.0, -1.0, 0.5, 1.0], dtype=torch.float64)
    groups_B = torch.tensor([4, 4, 4, 2, 2])
    found_B = advantages(rewards_B, groups_B, baseline=-0.25, reference_name="own_objective:median")
    assert found_B.tolist() == [2.25, 0.25, 0.25, 0.25, 0.75]


@pytest.mark.parametrize(
    ("name", "function", "same"),
    [("linear", "plain", "asymre"), ("ratio", "as_loss", "asymre")],
)
def test_asymre_written_by_a_user_has_its_gradient(
    name: str, function: str, same: str, own: Path
) -> None:
    (own / "mine.py").write_text(
        "import torch\n"
        "def plain(advantages_B, correct_B): return advantages_B\n"
        "def as_loss(logps_C, behaviour_logps_C, advantages_B, sequence_of_C):\n"
        "    logps_B = torch.zeros_like(advantages_B).index_add(0, sequence_of_C, logps_C)\n"
        "    return -advantages_B * logps_B\n"
    )
    behaviour, sequences = naive.logits(3), naive.batch(4)
    table = (behaviour + naive.logits(5, scale=0.5)).requires_grad_()

    def gradient(**how: Any) -> torch.Tensor:
        value = computed.loss(table, behaviour, sequences, baseline=-0.1, **how)
        return computed.gradient(table, value)

    found = gradient(name=name, function=f"mine:{function}", micro_batches=3)
    assert float((found - gradient(name=same)).abs().max()) <= 1e-12


def test_the_code_of_a_function_names_the_arm(own: Path) -> None:
    def identity() -> dict[str, str | float]:
        return objective_identity(linear("counted:f"), baseline_reference="group_mean")

    (own / "counted.py").write_text("def f(advantages_B, correct_B): return advantages_B")
    one = identity()
    (own / "counted.py").write_text("def f(advantages_B, correct_B): return 2 * advantages_B")
    other = identity()
    assert one["name"] == "linear" and one["code"] != other["code"]

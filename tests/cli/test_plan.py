"""`asymrl plan`: every shipped experiment planned without network, GPU or anything made."""

import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import pytest
from asymrl.bridge import conf_directory

from tests.fixtures.commands import Outcome, asymrl, published, refused

EXPERIMENTS = sorted(
    path.stem
    for path in (conf_directory() / "experiment").glob("*.yaml")
    if path.stem != "neutral"  # the base of one's own work names no model
)
PAPER = {
    "paper_llama8b_math": "8,030,261,248",
    "paper_llama3b_math": "3,212,749,824",
    "paper_qwen3b_math": "3,085,938,688",
}


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> NoReturn:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(autouse=True)
def free_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Set the free bytes of every disk; at first there is room for every plan."""

    def set_free(free: float) -> None:
        usage = SimpleNamespace(free=free)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)

    set_free(1e18)
    return set_free


def plan(tmp_path: Path, *settings: str) -> Outcome:
    return asymrl("plan", f"runs_dir={tmp_path}/runs", *settings)


def value(outcome: Outcome, label: str) -> str:
    """What a row of the tables says."""
    (line,) = [line for line in outcome.out.splitlines() if line.strip().startswith(f"{label}  ")]
    return line.strip().removeprefix(label).strip()


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_is_planned_and_nothing_is_made(experiment: str, tmp_path: Path) -> None:
    outcome = plan(tmp_path, f"experiment={experiment}", "baseline=-0.1", "seed=0")
    assert outcome.code == 0, outcome.err
    assert "each of 1 arm" in outcome.out and "unknown" not in outcome.out
    assert published(tmp_path) == {}
    if experiment in PAPER:
        assert value(outcome, "parameters") == PAPER[experiment]
        assert value(outcome, "optimizer").startswith("lr 6e-08   128 trajectories")
        assert value(outcome, "steps").startswith("2,000   16 whole")
        assert value(outcome, "completions").startswith("32,000 ")
        assert value(outcome, "rounds").startswith("8 ") and "'asymrl run'" in outcome.out
        assert value(outcome, "completion tokens").startswith("65,536,000   at most 2048")


def test_without_a_sweep_of_ones_own_it_plans_the_papers(tmp_path: Path) -> None:
    outcome = plan(tmp_path)
    assert value(outcome, "baseline") == "-0.5, -0.3, -0.2, -0.1, 0, 0.1, 0.2, 0.3"
    assert value(outcome, "seed") == "0, 1, 2"
    assert "each of 24 arms" in outcome.out


def test_a_sweeps_own_values_and_a_mean_length_change_the_plan(tmp_path: Path) -> None:
    outcome = plan(
        tmp_path,
        "experiment=h200_qwen3b",
        "baseline=-0.1,0",
        "sampling.seed=0,1",
        "plan.completion_tokens=600",
    )
    assert "each of 4 arms" in outcome.out
    assert "shared by the arms: 2 sets of rollouts" in outcome.out
    assert value(outcome, "completion tokens") == "38,400,000   in the mean 600 each"


def test_what_is_not_known_is_said_with_what_to_give(tmp_path: Path) -> None:
    unheard = ("experiment=h200_qwen3b", "policy.source=owner/unheard-of", "baseline=0")
    outcome = plan(tmp_path, *unheard)
    assert value(outcome, "parameters") == "unknown   set policy.parameters"
    assert "give policy.parameters, or a local checkpoint" in outcome.out
    told = plan(tmp_path, *unheard, "policy.parameters=3000000000")
    assert value(told, "parameters") == "3,000,000,000"
    file = plan(tmp_path, "experiment=h200_qwen3b", "task=file", "task.train=null", "baseline=0")
    assert value(file, "train prompts") == "unknown   set task.train"


def test_a_model_that_does_not_fit_is_warned_of(tmp_path: Path) -> None:
    large = ("experiment=paper_llama8b_math", "baseline=0")
    outcome = plan(tmp_path, *large)
    assert "warning: weights, gradients and optimizer alone do not fit a GPU" in outcome.out
    small = plan(tmp_path, *large, "plan.gpu_memory_gib=10")
    assert "raise engine.tensor_parallel_size" in small.out


def test_it_says_how_many_arms_run_at_once(tmp_path: Path) -> None:
    h200 = ("experiment=h200_qwen3b", "baseline=-0.1,0,0.1", "seed=0,1,2,3")
    alone = plan(tmp_path, *h200)
    assert value(alone, "arms at once").startswith("8   1 GPU each, of 8 (plan.gpus)")
    sharded = plan(tmp_path, *h200, "train.processes=4")
    assert value(sharded, "arms at once").startswith("2   4 GPUs each")
    none = plan(tmp_path, *h200, "train.processes=4", "plan.gpus=1")
    assert value(none, "arms at once").startswith("0 ")
    assert "warning: no arm can run: 4 GPUs each" in none.out


def test_runs_that_the_disk_has_no_room_for_are_warned_of(
    tmp_path: Path, free_disk: Callable[[float], None]
) -> None:
    settings = ("experiment=smollm2_additions", "baseline=-0.1,0", "seed=0")
    assert "are free" not in plan(tmp_path, *settings).out
    free_disk(1e9)
    said = " ".join(plan(tmp_path, *settings).out.split())
    assert "warning: runs may take 4 GB of disk, and here 1 GB are free; train.keep" in said


def test_much_disk_is_warned_of_with_what_makes_it_less(tmp_path: Path) -> None:
    """24 arms of 8 billion parameters in bf16, a checkpoint every 50 steps."""
    much = plan(tmp_path, "experiment=paper_llama8b_math")
    assert "warning: checkpoints may take" in much.out and "train.keep_checkpoints=1" in much.out
    one = plan(tmp_path, "experiment=paper_llama8b_math", "baseline=0", "seed=0")
    assert "of disk" not in one.out
    rollouts = plan(tmp_path, "experiment=paper_llama8b_math", "task.train=9000000", "baseline=0")
    assert "warning: rollouts may take" in rollouts.out and "sampling.max_tokens" in rollouts.out


ON_8 = ("experiment=paper_llama8b_math", "train.processes=8", "train.activation_checkpointing=true")
"""What the comment in the preset says."""


@pytest.mark.parametrize(
    "settings",
    [ON_8, *((f"experiment={e}",) for e in EXPERIMENTS if e != "paper_llama8b_math")],
    ids=lambda settings: settings[0],
)
def test_every_preset_fits_the_gpu_that_it_is_for(
    settings: tuple[str, ...], tmp_path: Path
) -> None:
    outcome = plan(tmp_path, *settings, "baseline=0", "seed=0")
    assert outcome.code == 0, outcome.err
    assert "fit a GPU" not in outcome.out


def test_the_preset_of_adapters_keeps_merged_weights_in_bf16(tmp_path: Path) -> None:
    """24 arms of 5 checkpoints, with the adapters beside them."""
    outcome = plan(tmp_path, "experiment=single_24gb_qwen0.5b_lora")
    assert "of disk" not in outcome.out
    adapters = 24 * 32 * (2 * 1792 + 2 * 1024 + 3 * 5760)
    disk = 24 * 5 * (2 * 494_032_768 + 4 * adapters) / 2**30
    assert value(outcome, "checkpoints on disk").startswith(f"{disk:.1f} GiB")
    assert "bfloat16 weights, adapters merged in" in outcome.out


def test_a_wrong_setting_is_refused_as_everywhere(tmp_path: Path) -> None:
    refused(
        plan(tmp_path, "plan.cores=0", "baseline=0"), "plan.cores", "greater than or equal to 1"
    )

"""One torch thread a process, and the small things that many tests share."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import signal
from pathlib import Path

import pytest
from hypothesis import settings

from asymreinforce.config import ExperimentConfig
from tests.fixtures.checkpoints import write_random_policy
from tests.fixtures.experiments import small_config

# Noisy machines make deadlines fail, and a run that differs from the last cannot be repeated.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")


SLOW = (
    "bandit/test_figures",
    "cli/test_bad_input",
    "cli/test_bad_machine",
    "cli/test_base",
    "cli/test_compose",
    "cli/test_devices",
    "cli/test_import",
    "cli/test_outside_text",
    "cli/test_own_experiment",
    "cli/test_plan",
    "cli/test_python",
    "cli/test_readme",
    "cli/test_remembered",
    "cli/test_run",
    "cli/test_samples",
    "cli/test_secrets",
    "cli/test_settings",
    "cli/test_stopped",
    "cli/test_summed_rewards",
    "cli/test_unforeseen",
    "data/test_lease",
    "data/test_store",
    "data/test_values",
    "engines/test_engines",
    "engines/test_vllm_features",
    "experiment",
    "faults",
    "grading/test_mutations",
    "grading/test_pool",
    "imported/test_without_evaluation",
    "planning/test_plan",
    "planning/test_training_memory",
    "report/test_bandit_page",
    "report/test_browser",
    "report/test_report",
    "report/test_untrusted",
    "scripts/paper/test_outcome",
    "scripts/test_bench_arms",
    "scripts/test_check_gpu",
    "scripts/test_pretrained",
    "stages/test_generate",
    "stages/test_half_precision",
    "stages/test_interruption",
    "stages/test_real_kills",
    "stages/test_score",
    "stages/test_side_by_side",
    "stages/test_train",
    "stages/test_unscorable_input",
    "test_constraints",
    "test_memory",
    "test_workers",
    "update/test_compiled",
    "update/test_sharding",
    "workers",
)
"""Folders and modules of which a test takes seconds: `make test-fast` leaves them out."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark slow modules; tests marked `gpu` skip with a word if torch shows no CUDA device."""
    import torch

    for item in items:
        place = item.path.relative_to(Path(__file__).parent).with_suffix("").as_posix()
        if any(place == name or place.startswith(f"{name}/") for name in SLOW):
            item.add_marker(pytest.mark.slow)
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="no CUDA device here"))


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_is_not_ignored() -> None:
    """A shell starts background jobs with SIGINT ignored, and children would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def one_torch_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def a_cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Checksums of models from elsewhere are remembered below the home directory by default."""
    os.environ["ASYMRL_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def random_policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random-start Llama with the embedded task's tokenizer: a few thousand parameters."""
    return write_random_policy(tmp_path_factory.mktemp("policy") / "checkpoint", seed=0)


@pytest.fixture
def config(tmp_path: Path, random_policy: Path) -> ExperimentConfig:
    """A small experiment on the random policy: 24 prompts of 4 samples, 6 steps."""
    return small_config(tmp_path / "runs", policy=random_policy)

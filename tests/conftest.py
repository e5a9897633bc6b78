"""One torch thread a process, and the small things that many tests share."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import signal
from pathlib import Path

import pytest
from hypothesis import settings

from asymreinforce.config import ExperimentConfig
from tests import made

# Noisy machines make deadlines fail, and a run that differs from the last cannot be repeated.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked `gpu` skip with a word where torch shows no CUDA device."""
    import torch

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
    return made.random_policy(tmp_path_factory.mktemp("policy") / "checkpoint", seed=0)


@pytest.fixture
def config(tmp_path: Path, random_policy: Path) -> ExperimentConfig:
    """A small experiment on the random policy: 24 prompts of 4 samples, 6 steps."""
    return made.config(tmp_path / "runs", policy=random_policy)

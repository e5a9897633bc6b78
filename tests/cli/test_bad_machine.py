"""Directories that cannot be written, a full disk, a device that is not there."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.commands import asymrl, published, refused, tiny

COMMANDS = ["init", "generate", "score", "train", "evaluate", "sweep"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 192 KiB, where this process may mount one."""
    directory = tmp_path / "small-disk"
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=192k", "tmpfs", str(directory)]
    try:
        allowed = (
            sys.platform == "linux" and not subprocess.run(mount, capture_output=True).returncode
        )
    except FileNotFoundError:
        allowed = False
    if not allowed:
        pytest.skip("only root on Linux may mount the small file system that is filled up")
    yield directory
    subprocess.run(["umount", "--lazy", str(directory)], check=True)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_in_place_of_the_runs_directory_is_named(command: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    refused(tiny(command, file / "runs"), str(file), "runs_dir")
    assert file.read_text() == "mine"


@pytest.mark.parametrize(
    ("command", "stage"),
    [("init", "prompts"), ("generate", "rollouts"), ("score", "verdicts"), ("train", "train")],
)
def test_a_file_in_place_of_a_stage_directory_is_named(
    command: str, stage: str, made_once: Path, tmp_path: Path
) -> None:
    runs_dir = Path(shutil.copytree(made_once, tmp_path / "runs"))
    shutil.rmtree(runs_dir / "cups" / stage)
    (runs_dir / "cups" / stage).write_text("mine")
    before = published(runs_dir)
    refused(tiny(command, runs_dir), str(runs_dir / "cups" / stage), "runs_dir")
    assert published(runs_dir) == before


def test_a_full_disk_is_named_and_nothing_half_written_stays(small_disk: Path) -> None:
    refused(tiny("init", small_disk), str(small_disk), "the disk is full", "free some space")
    assert published(small_disk) == {}


def test_a_disk_that_fills_up_stops_generate_and_a_larger_one_goes_on(
    runs_dir: Path, small_disk: Path
) -> None:
    """Shards that were published before stay, nothing half-written does."""
    pinned = small_disk / "rollouts"
    (small_disk / "ballast").write_bytes(b"x" * 176 * 1024)
    settings = [f"pins.rollouts={pinned}", "sampling.seed=3"]
    refused(tiny("generate", runs_dir, *settings), str(pinned), "the disk is full")
    assert not list(small_disk.rglob(".tmp-*"))
    (small_disk / "ballast").unlink()
    outcome = tiny("generate", runs_dir, *settings)
    assert outcome.code == 0, outcome.err
    assert (pinned / "manifest.json").exists()


def test_cuda_without_a_cuda_device_is_refused(runs_dir: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    before = published(runs_dir)
    outcome = tiny("train", runs_dir, "seed=5", "train.device=cuda")
    refused(outcome, "train.device=cuda", "no CUDA device", "use train.device=cpu")
    assert published(runs_dir) == before


def test_a_report_that_cannot_be_written_is_named(runs_dir: Path) -> None:
    assert tiny("evaluate", runs_dir).code == 0
    (runs_dir / "cups/figures").write_text("mine")
    before = published(runs_dir)
    refused(asymrl("report", str(runs_dir / "cups")), str(runs_dir / "cups/figures"))
    assert published(runs_dir) == before

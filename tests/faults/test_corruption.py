"""What an experiment keeps beside its shards, flipped or cut: named, passed over, or made again.

The damaged directory is read by the commands that read it. No damage ends in a traceback, and none
changes a number: either the command says what is damaged, or it prints what it printed before.
"""

import json
import re
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings

from tests.data.test_corruption import FUZZED, Damage, damages
from tests.fixtures.commands import Outcome, asymrl, tiny

READ_BY = {
    "train/*/config.json": ("evaluate", "report"),
    "train/*/plan.json": ("evaluate", "train", "report"),
    "train/*/manifest.json": ("evaluate", "train", "report"),
    "train/*/metrics/*.parquet": ("train", "report"),
    "train/*/metrics/*.receipt": ("train", "report"),
    "train/*/state/*/state.safetensors": ("train",),
    "train/*/state/*/state.json": ("train",),
    "train/*/checkpoints/*/model.safetensors": ("train", "evaluate"),
    "train/*/checkpoints/*/config.json": ("train", "evaluate"),
    "policy/*/checkpoint/model.safetensors": ("train", "generate"),
    "summary.parquet": ("report",),
    "summary.json": ("report",),
    "curves.parquet": ("report", "samples"),
    "evaluations/*/*.parquet": ("evaluate", "samples", "report"),
    "evaluations/*/*.receipt": ("evaluate", "report"),
    "evaluations/*/plan.json": ("evaluate", "report"),
}


@pytest.fixture(scope="module")
def evaluated(made_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny experiment with its evaluation; its arm was trained anew, and keeps its state."""
    runs_dir = Path(shutil.copytree(made_once, tmp_path_factory.mktemp("evaluated") / "runs"))
    shutil.rmtree(runs_dir / "cups/train")
    assert tiny("train", runs_dir, "train.keep_state=true").code == 0
    assert tiny("evaluate", runs_dir).code == 0
    return runs_dir


def read(command: str, runs_dir: Path) -> Outcome:
    if command in ("report", "samples"):
        return asymrl(command, str(runs_dir / "cups"))
    return tiny(command, runs_dir)


def numbers(runs_dir: Path) -> str:
    """The summary without what an arm took."""
    rows = json.loads((runs_dir / "cups/summary.json").read_text())
    return json.dumps([{k: v for k, v in row.items() if k != "seconds"} for row in rows])


@pytest.mark.campaign
@pytest.mark.parametrize("pattern", READ_BY)
@settings(FUZZED, max_examples=6)
@given(damage=damages())
def test_a_damaged_file_of_an_experiment_is_named_or_mended_and_never_believed(
    pattern: str, damage: Damage, evaluated: Path, tmp_path: Path
) -> None:
    runs_dir = tmp_path / "runs"
    shutil.rmtree(runs_dir, ignore_errors=True)
    shutil.copytree(evaluated, runs_dir)
    path = sorted((runs_dir / "cups").glob(pattern))[-1]
    before = path.read_bytes()
    path.write_bytes(damage(before))
    is_changed = path.read_bytes() != before
    for command in READ_BY[pattern]:
        outcome = read(command, runs_dir)
        said = outcome.out + outcome.err
        assert outcome.code in (0, 1), said
        assert "Traceback" not in said
        if outcome.code == 1:
            errors = [line for line in outcome.err.splitlines() if line.startswith("error: ")]
            assert len(errors) == 1, said
            assert is_changed
        elif command == "evaluate":
            assert numbers(runs_dir) == numbers(evaluated)


@pytest.mark.campaign
@settings(FUZZED, max_examples=10)
@given(damage=damages())
def test_a_damaged_record_of_a_round_is_made_again(
    damage: Damage, rounds: Path, tmp_path: Path
) -> None:
    runs_dir = tmp_path / "runs"
    shutil.rmtree(runs_dir, ignore_errors=True)
    shutil.copytree(rounds, runs_dir)
    path = sorted((runs_dir / "cups/train").glob("*/rounds/*.json"))[-1]
    before = path.read_bytes()
    path.write_bytes(damage(before))
    outcome = tiny("run", runs_dir, *ROUNDS)
    assert outcome.code in (0, 1), outcome
    assert "Traceback" not in outcome.out + outcome.err
    if outcome.code == 0:
        assert path.read_bytes() == before


ROUNDS = ("refresh_every=2", "baseline=-0.1", "seed=0", "sweep.report=false")


@pytest.fixture(scope="module")
def rounds(made_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An arm of two rounds."""
    runs_dir = Path(shutil.copytree(made_once, tmp_path_factory.mktemp("rounds") / "runs"))
    outcome = tiny("run", runs_dir, *ROUNDS)
    assert outcome.code == 0, outcome.err
    return runs_dir


def test_a_config_of_another_arm_is_not_taken_for_this_ones(
    made_once: Path, tmp_path: Path
) -> None:
    runs_dir = Path(shutil.copytree(made_once, tmp_path / "runs"))
    (path,) = (runs_dir / "cups/train").glob("*/config.json")
    path.write_text(re.sub(r'"baseline": [-0-9.e]+', '"baseline": 0.4', path.read_text(), count=1))
    outcome = tiny("evaluate", runs_dir)
    assert outcome.code == 1
    assert "is of another arm (baseline)" in outcome.err
    assert tiny("train", runs_dir).code == 0  # which writes it anew
    assert '"baseline": 0.4' not in path.read_text()

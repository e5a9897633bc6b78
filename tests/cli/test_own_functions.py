"""The example of a user's own functions: swept and reported beside the built-in objective."""

import shutil
from pathlib import Path

import asymrl
import pytest

from tests.fixtures.commands import IN_PROCESS, refused, tiny

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "own_objective.py"
OWN = (
    "baseline_reference=own_objective:median",
    "algorithm=linear algorithm.function=own_objective:bounded",
    "algorithm=ratio algorithm.function=own_objective:squared_ratio",
    "reward.value=own_objective:cautious",
)


@pytest.fixture
def place(runs_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's directory with the example in it, and rollouts that are scored."""
    shutil.copy(EXAMPLE, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return runs_dir


@pytest.mark.slow
def test_ones_own_functions_are_swept_and_reported_beside_the_built_in_ones(place: Path) -> None:
    for words in ("baseline=-0.1", *OWN):
        swept = tiny("sweep", place, *words.split(), "baseline=-0.1", "seed=0", IN_PROCESS)
        assert swept.code == 0, swept.err
        assert "generate: complete, nothing to do" in swept.err
    results = asymrl.results(place / "cups")
    assert sorted(results["algorithm"]) == ["asymre", "asymre", "asymre", "linear", "ratio"]
    assert "own_objective:median" in set(results["baseline_reference"])
    others = " ".join(results["other_settings"])
    assert "own_objective:bounded" in others and "own_objective:cautious" in others


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("reward.value=broken:centred", "depends on the other ones"),
        ("baseline_reference=broken:nothing", "has no function nothing"),
    ],
)
def test_a_function_that_cannot_be_used_is_refused_before_rollouts_are_paid_for(
    setting: str, words: str, place: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken.py").write_text("def centred(s_B, correct_B): return s_B - s_B.mean()")
    refused(tiny("sweep", tmp_path / "new", setting, "seed=0"), words)
    assert not list((tmp_path / "new").rglob("rollouts"))

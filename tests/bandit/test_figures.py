from pathlib import Path
from typing import Any

import pytest

from asymreinforce.bandit.config import parse_settings
from asymreinforce.bandit.run import run_bandit
from asymreinforce.errors import InputError
from asymreinforce.report.bandit.figures import FIGURES, publish_bench_figures

SHORT: dict[str, dict[str, Any]] = {
    "section_5_1": {"steps": 50, "baseline_reference": "behaviour_mean"},
    "policy_improvement": {"steps": 10, "iterations": 3},
    "phase_diagram": {"steps": [5, 10], "iterations": 2, "baseline_reference": "initial_mean"},
    "stale_mu": {
        "steps": [5, 20],
        "iterations": None,
        "total_steps": 20,
        "baseline_reference": "behaviour_mean",
    },
    "sampled_groups": {
        "steps": 20,
        "samples": 4,
        "group_size": [2, 4],
        "baseline_reference": "group_mean",
        "sampling_seed": [0, 1],
    },
    "rival_updates": {
        "steps": 5,
        "iterations": 3,
        "samples": [0, 4],
        "update": ["asymre", "importance_weighted", "clipped"],
        "baseline_reference": "initial_mean",
    },
}

WIDE = {"baseline": [-0.3, -0.1, 0.0, 0.1], "seed": [43, 0, 1]}
NARROW = {"baseline": [-0.1], "seed": [5]}


def bench(experiment: str, tmp_path: Path, grid: dict[str, Any]) -> Path:
    settings = {"experiment": experiment, "arms": 12} | SHORT[experiment] | grid
    return run_bandit(parse_settings(settings), directory=tmp_path).directory


@pytest.mark.parametrize("grid", [WIDE, NARROW], ids=["sweep", "one chain"])
@pytest.mark.parametrize("experiment", sorted(FIGURES))
def test_each_experiment_has_figures_as_svg_and_png(
    experiment: str, grid: dict[str, Any], tmp_path: Path
) -> None:
    directory = bench(experiment, tmp_path, grid)
    drawings = publish_bench_figures(directory, experiment)
    for drawing in drawings:
        assert (directory / "figures" / f"{drawing.name}.svg").read_bytes().startswith(b"<?xml")
        assert (directory / "figures" / f"{drawing.name}.png").read_bytes()[1:4] == b"PNG"
        assert "$" not in drawing.title + drawing.caption


def test_the_same_tables_give_the_same_figures(tmp_path: Path) -> None:
    directory = bench("section_5_1", tmp_path, WIDE)
    first, second = (publish_bench_figures(directory, "section_5_1") for _ in range(2))
    assert first == second


def test_the_papers_draw_is_called_near_and_not_proven(tmp_path: Path) -> None:
    near = publish_bench_figures(bench("section_5_1", tmp_path / "a", WIDE), "section_5_1")
    other = publish_bench_figures(bench("section_5_1", tmp_path / "b", NARROW), "section_5_1")
    assert "it may be another draw" in near[0].caption
    assert "it may be another draw" not in other[0].caption


def test_figures_without_tables_name_the_file_that_is_absent(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"chains\.parquet"):
        publish_bench_figures(tmp_path, "section_5_1")

"""Draw the figures of a theory bench: parquet tables in, SVG and PNG out."""

from collections.abc import Callable
from pathlib import Path

from asymreinforce.report.bandit.bench import Bench, read_bench
from asymreinforce.report.bandit.curves import (
    entropy_by_step,
    improvement_by_iteration,
    reward_by_step,
)
from asymreinforce.report.bandit.maps import phase_diagram, stale_mu
from asymreinforce.report.bandit.sweeps import limit_by_value, rival_updates, sampled_groups
from asymreinforce.report.figures import canvas
from asymreinforce.report.figures.canvas import Drawing
from asymreinforce.report.figures.files import publish_figures

FIGURES: dict[str, tuple[Callable[[Bench], Drawing], ...]] = {
    "section_5_1": (reward_by_step, limit_by_value, entropy_by_step),
    "policy_improvement": (improvement_by_iteration,),
    "phase_diagram": (phase_diagram,),
    "stale_mu": (stale_mu,),
    "sampled_groups": (sampled_groups,),
    "rival_updates": (rival_updates,),
}

RC = canvas.RC | {"text.parse_math": True}  # these labels hold symbols, not settings


def draw_bench(bench: Bench, experiment: str) -> list[Drawing]:
    """Draw the figures of a bench, by the name of its experiment."""
    import matplotlib

    with matplotlib.rc_context(RC):
        return [figure(bench) for figure in FIGURES[experiment]]


def publish_bench_figures(directory: Path, experiment: str) -> list[Drawing]:
    """Draw the figures of a bench, and write them to `figures/<name>.svg` and `.png` in it.

    Raises `InputError` if a table is absent or damaged.
    """
    drawings = draw_bench(read_bench(directory), experiment)
    publish_figures(drawings, directory / "figures")
    return drawings

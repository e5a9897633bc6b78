"""Draw the figures of a theory bench, and the maps of final reward among them.

A map is over V - V^mu and the steps between refreshes of mu.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from asymreinforce.report.bandit.axes import (
    MU,
    V_MU,
    make_panels,
    signed_offset,
    write_above,
)
from asymreinforce.report.bandit.bench import Bench, read_bench, spread_by_place
from asymreinforce.report.bandit.curves import (
    entropy_by_step,
    improvement_by_iteration,
    reward_by_step,
)
from asymreinforce.report.bandit.sweeps import limit_by_value, rival_updates, sampled_groups
from asymreinforce.report.bandit.words import reward_share
from asymreinforce.report.figures import canvas
from asymreinforce.report.figures.canvas import Drawing
from asymreinforce.report.figures.colours import ON_DARK_CELL, ON_LIGHT_CELL
from asymreinforce.report.figures.files import publish_figures

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 7.4
DARK = 0.5
"""Below this share of the colour map cividis, pale numbers have more contrast, at least 4.3:1."""


def phase_diagram(bench: Bench) -> Drawing:
    """Draw final reward over (V - V^mu at the start, steps per iteration), with constant V."""
    iterations = bench.chains[0]["iterations"]
    return _draw_maps(
        bench,
        name="phase-diagram",
        title=f"Reward after {iterations} iterations, V constant",
        x=f"V − {V_MU} at the start",
        y="gradient steps an iteration",
        caption="V stays constant, so V − V^µ falls as µ improves.",
    )


def stale_mu(bench: Bench) -> Drawing:
    """Draw final reward over (V - V^mu, refresh interval of mu), with V that follows V^mu."""
    total = bench.chains[0]["steps"] * bench.chains[0]["iterations"]
    return _draw_maps(
        bench,
        name="stale-mu",
        title=f"Reward after {canvas.tick_number(total)} gradient steps, V follows {V_MU}",
        x=f"V − {V_MU}, at every refresh",
        y=f"refresh interval N of {MU}, steps",
        caption="V moves with the mean reward of µ, as the group mean does; the last row never "
        "refreshes µ.",
    )


def _draw_maps(bench: Bench, *, name: str, title: str, x: str, y: str, caption: str) -> Drawing:
    bench = bench.of_first("steps")
    near, draws = bench.near, len(bench.values("seed"))
    titles = [f"{title}: seed {bench.near_seed}"]
    titles += [f"The same: median of {draws} draws"] if draws > 1 else []
    figure, axes = make_panels(titles, columns=1, width=WIDTH)
    for axis, part in zip(axes, (near, bench), strict=False):
        _draw_map(axis, part)
        axis.set(xlabel=x, ylabel=y)
    return canvas.save_drawing(
        figure,
        name=name,
        title=title.replace(V_MU, "V^µ"),
        caption=f"Numbers and colours show final reward as a share of the best arm's. {caption}",
    )


def _draw_map(axes: "Axes", bench: Bench) -> None:
    baselines, steps = bench.values("baseline"), bench.values("steps")
    grid = [
        spread_by_place(chains, "baseline", reward_share).median
        for chains in (bench.only(steps=count).chains for count in steps)
    ]
    low = min(map(min, grid))
    axes.grid(False)
    axes.imshow(grid, cmap="cividis", vmin=low, vmax=1.0, aspect="auto", origin="lower")
    for row, values in enumerate(grid):
        for column, value in enumerate(values):
            is_dark = value - low < DARK * (1 - low)
            axes.text(
                column, row, f"{value:.3f}".removeprefix("0"), ha="center", va="center",
                fontsize=8.5, color=(ON_DARK_CELL if is_dark else ON_LIGHT_CELL).light,
            )  # fmt: skip
    axes.set_xticks(range(len(baselines)), [signed_offset(value) for value in baselines])
    axes.set_yticks(range(len(steps)), [canvas.tick_number(count) for count in steps])
    below = sum(value < 0 for value in baselines)
    if 0 < below < len(baselines):
        # a pale line under a dark dashed one is visible on cells of any colour
        for colour, dashes in ((ON_DARK_CELL, "-"), (ON_LIGHT_CELL, (0, (2, 2)))):
            axes.axvline(below - 0.5, color=colour.light, linewidth=1.6, linestyle=dashes)
        write_above(axes, below - 0.5, f"V < {V_MU}  ", align="right")
        write_above(axes, below - 0.5, f"  V ≥ {V_MU}", align="left")


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

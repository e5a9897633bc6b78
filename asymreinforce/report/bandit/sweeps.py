"""Draw the ends of chains against V: limits (Fig. 1), sampled group means, rival updates."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from asymreinforce.report.bandit.axes import (
    CATEGORY_STYLES,
    MARKS,
    V_MU,
    draw_spread,
    make_panels,
    mark_critical,
    offset_scale,
)
from asymreinforce.report.bandit.bench import Bench, Row, Spread, columns_of, spread_by_place
from asymreinforce.report.bandit.words import reward_share
from asymreinforce.report.figures import canvas
from asymreinforce.report.figures.canvas import Drawing
from asymreinforce.report.figures.colours import INK, MUTED, POSITIVE, signed_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OFFSET = f"V − {V_MU}"
UPDATES = {
    "asymre": "AsymRE",
    "importance_weighted": "importance-weighted",
    "clipped": "clipped (PPO)",
}


def limit_by_value(bench: Bench) -> Drawing:
    """Draw Fig. 1, right: reward and support of the limit against V, with V^mu marked."""
    bench = bench.of_first()
    near = bench.near
    smallest = min((abs(c["offset"]) for c in near.chains if c["offset"]), default=1e-3)
    lowest, highest = (edge(c["offset"] for c in near.chains) for edge in (min, max))
    shown = [
        row
        for row in bench.limits
        if 1.2 * min(lowest, -smallest) <= row["offset"] <= 1.2 * max(highest, smallest)
    ]
    figure, axes = make_panels(["Reward of the limit", "Arms of the limit"], columns=2)
    _limit_rewards(axes[0], near, shown)
    _limit_supports(axes[1], near, shown)
    for axis in axes:
        offset_scale(axis, [chain["offset"] for chain in near.chains])
        mark_critical(axis)
        axis.set(xlabel=f"{OFFSET}  (symmetric log scale)", ylabel=axis.get_ylabel())
    axes[0].legend(loc="lower right")
    axes[1].legend(loc="upper center")
    return canvas.save_drawing(
        figure,
        name="limit-by-value",
        title="Reward and support of the limit against V (Fig. 1)",
        caption="Lines are the closed form of Theorem 4.2; for V > V^µ they show the arms on "
        f"which π may end. Circles are chains of seed {bench.near_seed} after their last step; "
        "the closed form counts their support.",
    )


def _limit_rewards(axes: "Axes", near: Bench, limits: Sequence[Row]) -> None:
    blue, orange = signed_style(-1, [-1]), signed_style(1, [1])
    seeds = len({row["seed"] for row in limits})
    if seeds > 1:
        below = [row for row in limits if row["offset"] < 0]
        draws = spread_by_place(below, "offset", "lowest_reward")
        axes.fill_between(
            draws.places, draws.low, draws.high, color=MUTED.light, alpha=0.18, linewidth=0,
            label=f"{seeds} draws, 10 to 90 %",
        )  # fmt: skip
    own = [row for row in limits if row["seed"] == near.near_seed]
    below, above = ([r for r in own if (r["offset"] > 0) == side] for side in (False, True))
    axes.plot(
        *columns_of(below, "offset", "highest_reward"), color=blue.colour.light, linewidth=1.8,
        label=f"closed form, seed {near.near_seed}",
    )  # fmt: skip
    offsets, lowest, highest = columns_of(above, "offset", "lowest_reward", "highest_reward")
    axes.fill_between(
        offsets, lowest, highest, facecolor="none", edgecolor=orange.colour.light, hatch="////",
        linewidth=0.6, step="mid", label="range of possible limits",
    )  # fmt: skip
    _draw_circles(axes, near, column="reward")
    bottom = min(row["lowest_reward"] for row in limits if row["offset"] <= 0)
    axes.set_ylim(max(0.0, bottom - 0.3), axes.get_ylim()[1])
    axes.set_ylabel("expected reward")


def _limit_supports(axes: "Axes", near: Bench, limits: Sequence[Row]) -> None:
    own = [row for row in limits if row["seed"] == near.near_seed]
    for words, side, colour, line in (
        ("in the limit", False, signed_style(-1, [-1]).colour.light, "-"),
        ("possible limits", True, POSITIVE[0].light, (0, (5, 1.8))),
    ):
        part = [row for row in own if (row["offset"] > 0) == side]
        axes.step(
            *columns_of(part, "offset", "support"),
            color=colour, linewidth=1.8, linestyle=line, label=words, where="mid",
        )  # fmt: skip
    _draw_circles(axes, near, column="limit_support")
    _count_scale(axes, max(row["support"] for row in own))
    axes.set_ylabel("number of arms")


def _count_scale(axes: "Axes", largest: float) -> None:
    """Make the y axis logarithmic in the number of arms, with ticks at 1, 2, 5, 10, ..."""
    axes.set_yscale("log")
    marks = [count * 10**power for power in range(5) for count in (1, 2, 5)]
    shown = [mark for mark in marks if mark <= 1.5 * largest]
    axes.set_yticks(shown, [str(mark) for mark in shown])
    axes.set_yticks([], minor=True)
    axes.set_ylim(0.8, 1.6 * largest)


def _draw_circles(axes: "Axes", near: Bench, *, column: str) -> None:
    rows = [chain for chain in near.chains if chain[column] is not None]
    axes.plot(
        *columns_of(rows, "offset", column), marker="o", linestyle="none", markersize=5,
        markerfacecolor="white", markeredgecolor=INK.light, label="gradient ascent",
    )  # fmt: skip


def sampled_groups(bench: Bench) -> Drawing:
    """Draw final reward, effective arms and noise for means of G sampled arms instead of V^mu."""
    from matplotlib.ticker import MaxNLocator

    bench = bench.of_first("group_size", "sampling_seed")
    figure, axes = make_panels(
        ["Final reward", "Effective number of arms at the end", "Noise of one update"], columns=3
    )
    ends: tuple[str | Callable[[Row], float], ...] = ("reward", _effective_arms, "noise")
    for style, mark, size in zip(CATEGORY_STYLES, MARKS, bench.values("group_size"), strict=False):
        part = bench.only(group_size=size)
        for axis, value in zip(axes, ends, strict=True):
            curve = spread_by_place(part.chains, "baseline", value)
            draw_spread(axis, curve, style, label=f"G = {size}")
            axis.plot(curve.places, curve.median, mark, color=style.colour.light, markersize=4)
        limits = [chain for chain in part.chains if chain["limit_reward"] is not None]
        if limits:
            exact = spread_by_place(limits, "baseline", "limit_reward")
            axes[0].plot(
                exact.places, exact.median, linestyle="none", marker="_", markersize=13,
                color=style.colour.light, markeredgewidth=1.4,
            )  # fmt: skip
    axes[0].plot([], [], "_", color=MUTED.light, markersize=11, label="closed form")
    for axis, unit in zip(
        axes, ("expected reward", "exp(entropy)", "standard deviation"), strict=True
    ):
        axis.set_xlim(axis.get_xlim())
        axis.xaxis.set_major_locator(MaxNLocator(5))
        mark_critical(axis, words="critical")
        axis.set(xlabel="baseline  (V = group mean + baseline)", ylabel=unit)
        axis.legend()
    _count_scale(axes[1], max(_effective_arms(chain) for chain in bench.chains))
    axes[2].set_ylim(bottom=0)
    return canvas.save_drawing(
        figure,
        name="sampled-groups",
        title="Group means of G sampled arms in place of V^µ",
        caption="Median and 10 to 90 % over streams of sampled arms, 16 arms a step by default. "
        "Ticks are the closed form at V = V^µ + baseline·G/(G−1). The transition is at 0 for "
        "every G, and the noise (of the update divided by (G−1)/G) falls with G.",
    )


def rival_updates(bench: Bench) -> Drawing:
    """Draw importance-weighted and clipped updates beside AsymRE, exact and sampled."""
    bench = bench.of_first("update", "samples", "sampling_seed")
    kinds = bench.values("samples")
    names = ["Exact expectation" if n == 0 else f"{n} sampled arms a step" for n in kinds]
    learning = learning_baseline(bench)
    titles = [f"{name}, V = {V_MU} {_signed_term(learning)}" for name in names]
    figure, axes = make_panels([*titles, *names], columns=len(kinds))
    for axis, low, samples in zip(axes, axes[len(kinds) :], kinds, strict=False):
        for update, style in zip(UPDATES, CATEGORY_STYLES, strict=True):
            part = bench.only(update=update, samples=samples)
            if part.chains:
                learned = _learning_spread(part.only(baseline=learning))
                draw_spread(axis, learned, style, label=UPDATES[update])
                ends = spread_by_place(part.chains, "baseline", reward_share)
                draw_spread(low, ends, style, label=UPDATES[update])
        axis.set(xlabel="gradient step", ylabel="reward ÷ best arm's")
        low.set_xlim(low.get_xlim())
        mark_critical(low)
        low.set(xlabel=f"{OFFSET} at the start  (V constant)", ylabel="final reward ÷ best arm's")
        axis.legend(loc="lower right")
    for row in (axes[: len(kinds)], axes[len(kinds) :]):
        bottom = min(axis.get_ylim()[0] for axis in row)
        for axis in row:
            axis.set_ylim(bottom, 1.01)
    return canvas.save_drawing(
        figure,
        name="rival-updates",
        title="Importance-weighted and clipped updates beside AsymRE",
        caption="Median and 10 to 90 % over draws, as a share of the best arm's reward. The upper "
        "panels show reward against gradient step at one V, the lower panels final reward "
        "against V.",
    )


def _learning_spread(bench: Bench) -> Spread:
    best = {chain["chain"]: chain["best_reward"] for chain in bench.chains}
    moments = [moment for chain in best for moment in bench.traces[chain]]
    return spread_by_place(moments, "step", lambda m: m["reward"] / best[m["chain"]])


def learning_baseline(bench: Bench) -> float:
    """Return the baseline nearest to -0.1, the paper's stable and fast choice."""
    return float(min(bench.values("baseline"), key=lambda value: abs(value + 0.1)))


def _signed_term(offset: float) -> str:
    return "" if offset == 0 else f"{'+' if offset > 0 else '−'} {abs(offset):g}"


def _effective_arms(chain: Row) -> float:
    return math.exp(chain["entropy"])

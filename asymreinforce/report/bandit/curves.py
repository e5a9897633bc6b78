"""Draw chains against steps: reward (Fig. 1), entropy (Fig. 7), policy improvement (Fig. 2)."""

from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING

from asymreinforce.report.bandit.axes import (
    MU,
    V_0_MU,
    V_MU,
    draw_spread,
    make_panels,
    mark_critical,
    signed_offset,
)
from asymreinforce.report.bandit.bench import Bench, Row, columns_of, spread_by_place
from asymreinforce.report.figures import canvas
from asymreinforce.report.figures.canvas import Drawing, EndLabel, choose_evenly
from asymreinforce.report.figures.colours import Style, signed_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# together 335 pixels, the width of a phone's screen
PANEL_WIDTH, LABEL_WIDTH = 3.95, 0.7
"""The width of a panel, and of the space for labels such as `−0.005` beside it, in inches."""

# curves for V above V^mu soon coincide
MOST_BELOW, MOST_ABOVE = 7, 2
"""The most curves for V below V^mu, and for V above V^mu."""

MOST_VALUES = 9


def reward_by_step(bench: Bench) -> Drawing:
    """Draw Fig. 1, left: expected reward against gradient step, for many V."""
    title = "Expected reward against step (Fig. 1)"
    return _by_step(bench, column="reward", title=title, unit="expected reward")


def entropy_by_step(bench: Bench) -> Drawing:
    """Draw Fig. 7: entropy of the policy against gradient step, for many V."""
    title = "Entropy against step (Fig. 7)"
    return _by_step(bench, column="entropy", title=title, unit="entropy, nats")


def _by_step(bench: Bench, *, column: str, title: str, unit: str) -> Drawing:
    bench = bench.of_first()
    near = bench.near.chains
    draws = len(bench.values("seed"))
    titles = [f"Rewards of seed {bench.near_seed}"]
    titles += [f"Median of {draws} draws, band from 10 to 90 %"] if draws > 1 else []
    figure, axes = make_panels(titles, columns=2, width=PANEL_WIDTH, right=LABEL_WIDTH)
    chosen = on_both_sides(near, below=MOST_BELOW, above=MOST_ABOVE)
    _near_curves(axes[0], bench, chosen, column=column)
    axes[0].set(xlabel="gradient step", ylabel=unit)
    if draws > 1:
        _draw_bands(axes[1], bench, _spread_out(bench.values("baseline")), column=column)
        is_gain = column == "reward"
        axes[1].set(xlabel="gradient step", ylabel=f"{unit} − {V_MU}" if is_gain else unit)
    caption = (
        f"Lines are exact updates at {_words_of_labels(bench)}, blue below V^µ and orange above. "
        "Dots at the right end are the closed form of Theorem 4.2. "
    )
    if bench.near_seed == 43:
        caption += "Seed 43 is the draw nearest to the paper's; it may be another draw."
    return canvas.save_drawing(figure, name=f"{column}-by-step", title=title, caption=caption)


def _near_curves(axes: "Axes", bench: Bench, chains: Sequence[Row], *, column: str) -> None:
    offsets = [chain["offset"] for chain in chains]
    ends = []
    for chain in chains:
        style = signed_style(chain["offset"], offsets)
        trace = bench.traces[chain["chain"]]
        axes.plot(*columns_of(trace, "step", column), **style.line)
        label = _baseline_label(chain["baseline"], chain)
        ends.append(EndLabel(trace[-1][column], label, style.colour.light))
        limit = chain[f"limit_{column}"]
        if limit is not None:
            _draw_dot(axes, trace[-1]["step"], limit, style)
    _step_scale(axes, max(bench.traces[c["chain"]][-1]["step"] for c in chains))
    canvas.label_ends(axes, ends)


def _draw_bands(axes: "Axes", bench: Bench, baselines: Sequence[float], *, column: str) -> None:
    """Draw one band per baseline; rewards are shown minus V^mu of their draw."""
    # without the subtraction, V^mu alone would spread the draws
    start = {c["chain"]: c["behaviour_reward"] * (column == "reward") for c in bench.chains}
    ends, last = [], 1
    offsets = [_median_offset(bench, baseline) for baseline in baselines]
    for baseline, offset in zip(baselines, offsets, strict=True):
        chains = bench.only(baseline=baseline).chains
        moments = [moment for chain in chains for moment in bench.traces[chain["chain"]]]
        band = spread_by_place(moments, "step", lambda m: m[column] - start[m["chain"]])
        style = signed_style(offset, offsets)
        draw_spread(axes, band, style)
        label = _baseline_label(baseline, chains[0])
        ends.append(EndLabel(band.median[-1], label, style.colour.light))
        last = int(max(last, band.places[-1]))
        limits = [c for c in chains if c[f"limit_{column}"] is not None]
        if limits:
            end = median(c[f"limit_{column}"] - start[c["chain"]] for c in limits)
            _draw_dot(axes, last, end, style)
    _step_scale(axes, last)
    canvas.label_ends(axes, ends)


def improvement_by_iteration(bench: Bench) -> Drawing:
    """Draw Fig. 2: reward against iteration, and the final reward against V - V_{0,mu}."""
    bench = bench.of_first()
    near = sorted(bench.near.chains, key=lambda chain: chain["value"])
    figure, axes = make_panels(
        [f"Rewards of seed {bench.near_seed}", "Every draw, after the last iteration"],
        columns=2,
        width=PANEL_WIDTH,
        right=LABEL_WIDTH,
    )
    _draw_iterations(axes[0], bench, choose_evenly(near, MOST_VALUES))
    _ends_by_critical(axes[1], bench)
    return canvas.save_drawing(
        figure,
        name="improvement-by-iteration",
        title="Policy improvement (Fig. 2)",
        caption="Left: labels are V. Solid lines take finitely many gradient steps in each "
        "iteration; dotted lines iterate the exact limits (Theorem 4.3), for V below the first "
        "V^µ. Right: one dot per draw and V. Left of the line, Theorem 4.3 says that the policy "
        "ends on the best arm; dots below 1 there have not converged.",
    )


def _draw_iterations(axes: "Axes", bench: Bench, chains: Sequence[Row]) -> None:
    offsets = [chain["offset"] for chain in chains]
    ends = []
    for chain in chains:
        style = signed_style(chain["offset"], offsets)
        trace = bench.traces[chain["chain"]]
        iterations, rewards, exact = columns_of(trace, "iteration", "reward", "limit_reward")
        axes.plot(iterations, rewards, **style.line)
        if None not in exact:
            axes.plot(iterations, exact, color=style.colour.light, linewidth=1.4, linestyle=":")
        ends.append(EndLabel(trace[-1]["reward"], f"{chain['value']:.4g}", style.colour.light))
    axes.set_xlim(0, max(bench.traces[chain["chain"]][-1]["iteration"] for chain in chains) or 1)
    axes.set_ylim(axes.get_ylim())
    axes.set(xlabel=f"iteration  ({MU} ← π after each)", ylabel="expected reward")
    canvas.label_ends(axes, ends)


def _ends_by_critical(axes: "Axes", bench: Bench) -> None:
    below = [chain for chain in bench.chains if chain["offset"] < 0]
    above = [chain for chain in bench.chains if chain["offset"] >= 0]
    for chains, mark, sign, words in (
        (below, "o", -1, f"V < {V_MU}"),
        (above, "^", 1, f"V ≥ {V_MU}"),
    ):
        axes.plot(
            [chain["value"] - chain["critical_value"] for chain in chains],
            [chain["reward"] / chain["best_reward"] for chain in chains],
            marker=mark, markersize=4, alpha=0.7, markeredgewidth=0, linestyle="none",
            color=signed_style(sign, [sign]).colour.light, label=f"{words} of the first {MU}",
        )  # fmt: skip
    axes.set_xlim(axes.get_xlim())
    mark_critical(axes, words=f"V = {V_0_MU}")
    axes.legend(loc="lower left")
    axes.set(xlabel=f"V − {V_0_MU} of the draw", ylabel="reward ÷ best arm's reward")


def on_both_sides(chains: Sequence[Row], *, below: int, above: int) -> list[Row]:
    """Return at most `below` chains with V < V^mu, those with V = V^mu, and at most `above`."""
    ordered = sorted(chains, key=lambda chain: float(chain["offset"]))
    return [
        *choose_evenly([chain for chain in ordered if chain["offset"] < 0], below),
        *(chain for chain in ordered if chain["offset"] == 0),
        *choose_evenly([chain for chain in ordered if chain["offset"] > 0], above),
    ]


def _spread_out(values: Sequence[float]) -> list[float]:
    """Return the first value, the last value, and a value between them."""
    # more bands would hide each other
    return sorted({values[0], values[len(values) // 4], values[-1]})


def _baseline_label(baseline: float, chain: Row) -> str:
    return f"{baseline:.4g}" if chain["baseline_reference"] == "zero" else signed_offset(baseline)


def _words_of_labels(bench: Bench) -> str:
    is_value = bench.chains[0]["baseline_reference"] == "zero"
    return "V = the label" if is_value else "V = V^µ + the label"


def _median_offset(bench: Bench, baseline: float) -> float:
    """Return the median V - V^mu of a baseline over draws."""
    # with a constant V, V - V^mu differs between draws
    return float(median(chain["offset"] for chain in bench.only(baseline=baseline).chains))


def _draw_dot(axes: "Axes", x: float, y: float, style: Style) -> None:
    axes.plot(
        x, y, marker="o", markersize=5, color=style.colour.light, markeredgecolor="white",
        clip_on=False, zorder=5,
    )  # fmt: skip


def _step_scale(axes: "Axes", last: int) -> None:
    """Make the x axis logarithmic in steps, including step 0, and fix the limits for labels."""
    axes.set_xscale("symlog", linthresh=1, linscale=0.3)
    axes.set_xlim(0, last)
    powers = [10**power for power in range(len(str(last))) if 10**power <= last]
    canvas.fix_ticks(axes.xaxis, [0, *powers])
    axes.set_ylim(axes.get_ylim())

"""Draw Figs. 3, 4, 5 and 8: curves of a sweep over baselines on a language model."""

from collections.abc import Sequence

from asymreinforce.report.figures import canvas
from asymreinforce.report.figures.canvas import Drawing, EndLabel
from asymreinforce.report.figures.colours import BEHAVIOUR, Style, group_styles
from asymreinforce.report.figures.curve_panels import draw_panel, read_curves
from asymreinforce.report.groups import ArmGroup, mean, signed_text
from asymreinforce.report.records import Experiment
from scripts.paper.arms import accuracy_by_step, at_baseline, of_algorithm, swept_groups

PAIR = (-0.1, 0.0)
"""The baselines of Fig. 5 (left), which shows every seed."""

RIVAL = "grpo"
WIDTH, HEIGHT = 4.9, 3.3
LINES = "Each line is the mean over seeds, its band runs from the lowest to the highest seed"
CAPTIONS = {
    "train-accuracy": f"{LINES}; a part of the training prompts, freshly sampled.",
    "accuracy": f"{LINES}; prompts that training never saw. The horizontal line is µ.",
    "entropy": f"{LINES}; entropy of whole completions that the policy samples in evaluation.",
}


def train_accuracy(experiment: Experiment, groups: Sequence[ArmGroup]) -> list[Drawing]:
    """Draw Fig. 3: accuracy on training prompts."""
    return _draw_panel(experiment, swept_groups(groups), "train-accuracy")


def held_out_accuracy(experiment: Experiment, groups: Sequence[ArmGroup]) -> list[Drawing]:
    """Draw Fig. 4: accuracy on held-out prompts."""
    return _draw_panel(experiment, swept_groups(groups), "accuracy")


def entropy(experiment: Experiment, groups: Sequence[ArmGroup]) -> list[Drawing]:
    """Draw Fig. 8: entropy of the completions sampled in evaluation.

    A collapsed arm may rise far above all others, so the baselines below 0 are also drawn alone.
    """
    below = [group for group in swept_groups(groups) if (group.baseline or 0.0) < 0]
    alone = _draw_panel(experiment, below, "entropy") if below != swept_groups(groups) else []
    return [
        *_draw_panel(experiment, swept_groups(groups), "entropy"),
        *(
            drawing._replace(caption=f"The baselines below 0 alone. {drawing.caption}")
            for drawing in alone
        ),
    ]


def against_rival(experiment: Experiment, groups: Sequence[ArmGroup]) -> list[Drawing]:
    """Draw Fig. 5 (right): AsymRE at -0.1 and GRPO, on the same rollouts."""
    own, rival = at_baseline(groups, PAIR[0]), of_algorithm(groups, RIVAL)
    if not (own and own.accuracies and rival and rival.accuracies):
        return []
    # GRPO does not choose a baseline; without one, its line gets its own name and style.
    return _draw_panel(experiment, [own, rival._replace(baseline=None)], "accuracy")


def every_seed(experiment: Experiment, groups: Sequence[ArmGroup]) -> list[Drawing]:
    """Draw Fig. 5 (left): one line for each seed at 0 and at -0.1."""
    import matplotlib

    pair = [group for baseline in PAIR if (group := at_baseline(groups, baseline))]
    if not any(group.accuracies for group in pair):
        return []
    with matplotlib.rc_context(canvas.RC):
        return [
            _draw_seeds(experiment, pair, group_styles(swept_groups(groups)), swept_groups(groups))
        ]


def _draw_panel(experiment: Experiment, groups: Sequence[ArmGroup], name: str) -> list[Drawing]:
    import matplotlib

    curves = [panel for panel in read_curves(experiment, groups) if panel.panel.name == name]
    with matplotlib.rc_context(canvas.RC):
        styles = group_styles(groups)
        drawn = [draw_panel(panel, experiment, groups, styles) for panel in curves]
    return [drawing._replace(caption=CAPTIONS[name]) for drawing in drawn]


def _draw_seeds(
    experiment: Experiment,
    pair: Sequence[ArmGroup],
    looks: Sequence[Style],
    among: Sequence[ArmGroup],
) -> Drawing:
    title = f"{experiment.split.replace('_', '-').capitalize()} accuracy of each seed"
    names = [f"{signed_text(group.baseline or 0.0)} ({len(group.arms)} seeds)" for group in pair]
    figure, axes = canvas.blank_figure(
        width=WIDTH, height=HEIGHT, labels=names, title=f"{title}, %"
    )
    ends, last = [], 1
    for group, name in zip(pair, names, strict=True):
        style = looks[list(among).index(group)]
        courses = [
            points for arm in group.arms if (points := accuracy_by_step(arm, experiment.split))
        ]
        for points in courses:
            last = max(last, *points)
            axes.plot(
                list(points), [100 * value for value in points.values()], linewidth=1.2,
                color=style.colour.light, linestyle=(0, style.dashes) if style.dashes else "-",
                alpha=0.85,
            )  # fmt: skip
        if courses:
            end = mean(list(points.values())[-1] for points in courses)
            ends.append(EndLabel(100 * end, name, style.colour.light))
    if experiment.behaviour_accuracy is not None:
        axes.axhline(100 * experiment.behaviour_accuracy, color=BEHAVIOUR.light, linewidth=1.1)
    axes.set_xlim(0, last)
    axes.set_ylim(0, 102)
    axes.set_xlabel("training step")
    canvas.label_ends(axes, ends)
    return canvas.save_drawing(
        figure,
        name="every-seed",
        title=title,
        caption="Each line is one arm; the horizontal line is the behaviour policy.",
    )

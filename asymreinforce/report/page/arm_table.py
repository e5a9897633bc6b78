"""Make the table of arms, with one row per arm."""

from collections.abc import Mapping

from asymreinforce.data.arm_progress import IN_SAMPLE_KL
from asymreinforce.report.commands import Commands
from asymreinforce.report.coverage import pass_at_words
from asymreinforce.report.evaluated import ArmEnds, RunIntervals, intervals_of_run
from asymreinforce.report.groups import NAMED_APART, SEEDS, signed_text
from asymreinforce.report.page.cells import (
    EMPTY,
    NOTHING,
    Cell,
    Table,
    bracket_interval,
    make_table,
    number_cell,
    plain_text,
    text_cell,
)
from asymreinforce.report.records import ArmOutcome, Experiment, ReportedArm

PLAIN = {
    "entropy": ("entropy", ".2f"),
    "logp correct": ("logp_correct", ".3g"),
    "logp incorrect": ("logp_incorrect", ".3g"),
    IN_SAMPLE_KL: ("kl", ".3g"),
    "ESS": ("ess", ".3g"),
    "seconds": ("seconds", ".0f"),
}
"""Columns with a number of the outcome and its format."""

VERDICT_MARKS = {"improved": "↑", "collapsed": "↓", "stable": "→", "failed": "×"}


def arm_table(
    experiment: Experiment, commands: Commands | None, ends: Mapping[str, ArmEnds]
) -> Table:
    """Make the table of arms: the settings that differ, then the verdict, then the numbers.

    `ends` gives intervals over prompts; an arm without evaluations on disk shows standard errors.
    """
    arms = experiment.arms
    keys = sorted({key for arm in arms for key in arm.differing} - SEEDS - NAMED_APART)
    several_algorithms = len({arm.algorithm for arm in arms if arm.uses_baseline}) > 1
    several_references = len({arm.baseline_reference for arm in arms if arm.uses_baseline}) > 1
    pass_at = f"{pass_at_words(arm.outcome.k for arm in arms if arm.outcome)}, %"
    rows = []
    for arm in arms:
        cells = {"baseline": _baseline_cell(arm), "seed": number_cell(arm.seed, "d")}
        if several_algorithms:
            cells["algorithm"] = text_cell(arm.algorithm)
        if several_references:
            reference = arm.baseline_reference if arm.uses_baseline else NOTHING
            cells["reference"] = text_cell(reference)
        if experiment.policies > 1:
            cells["policy seed"] = number_cell(arm.policy_seed, "d")
        if len({other.sampling_seed for other in arms}) > 1:
            cells["sampling seed"] = number_cell(arm.sampling_seed, "d")
        cells |= {key: text_cell(plain_text(arm.differing.get(key))) for key in keys}
        cells["verdict"] = _verdict_cell(arm, split=experiment.split)
        if any(other.outcome and other.outcome.collapse_step for other in arms):
            step = arm.outcome.collapse_step if arm.outcome else None
            cells["collapsed at step"] = number_cell(step, "d")
        own = ends.get(arm.id)
        cells |= _number_cells(arm, pass_at, intervals_of_run(own) if own else None)
        if commands:
            cells |= _with_commands(arm, cells, commands, pass_at)
        rows.append(cells)
    return make_table(rows)


def _with_commands(
    arm: ReportedArm, cells: Mapping[str, Cell], commands: Commands, pass_at: str
) -> dict[str, Cell]:
    """Attach to each number the command that shows the completions behind it."""
    if arm.outcome is None:
        return {}
    last = commands.samples(arm, step=arm.outcome.step)
    peak = commands.samples(arm, step=arm.outcome.peak_step)
    behind = dict.fromkeys(("accuracy, %", "minus µ", pass_at, "entropy"), last)
    behind["peak, %"] = peak
    if rollouts := commands.rollouts(arm):
        behind |= dict.fromkeys(("logp correct", "logp incorrect", IN_SAMPLE_KL, "ESS"), rollouts)
    return {
        name: cells[name]._replace(command=command)
        for name, command in behind.items()
        if cells[name].value is not None
    }


def _number_cells(
    arm: ReportedArm, pass_at: str, intervals: RunIntervals | None
) -> dict[str, Cell]:
    outcome = arm.outcome
    if outcome is None:
        return dict.fromkeys(("step", "accuracy, %", "minus µ", "peak, %", pass_at, *PLAIN), EMPTY)
    peak = number_cell(100 * outcome.peak_accuracy, ".1f")
    return {
        "step": number_cell(outcome.step, "d"),
        "accuracy, %": _accuracy_cell(outcome, intervals),
        "minus µ": _difference_cell(outcome, intervals),
        "peak, %": peak._replace(under=f"at step {outcome.peak_step}"),
        pass_at: _pass_at_k_cell(outcome, names_k="k from" in pass_at),
        **{title: number_cell(getattr(outcome, n), form) for title, (n, form) in PLAIN.items()},
    }


def _accuracy_cell(outcome: ArmOutcome, intervals: RunIntervals | None) -> Cell:
    text = f"{100 * outcome.accuracy:.1f}"
    if intervals:
        return Cell(text, outcome.accuracy, under=bracket_interval(intervals.accuracy))
    return Cell(f"{text} ± {100 * outcome.accuracy_se:.1f}", outcome.accuracy)


def _difference_cell(outcome: ArmOutcome, intervals: RunIntervals | None) -> Cell:
    if outcome.difference is None:
        return EMPTY
    points = 100 * outcome.difference
    if intervals and intervals.minus_behaviour:
        under = bracket_interval(intervals.minus_behaviour, sign="+")
        return Cell(f"{points:+.1f}".replace("-", "−"), points, under=under)
    paired = "" if outcome.difference_se is None else f" ± {100 * outcome.difference_se:.1f}"
    return Cell(f"{points:+.1f}{paired}".replace("-", "−"), points)


def _pass_at_k_cell(outcome: ArmOutcome, *, names_k: bool) -> Cell:
    if outcome.k < 2:
        return EMPTY
    cell = number_cell(100 * outcome.pass_at_k, ".1f")
    return cell._replace(under=f"k = {outcome.k}") if names_k else cell


def _baseline_cell(arm: ReportedArm) -> Cell:
    if not arm.uses_baseline or arm.baseline is None:
        return Cell(arm.algorithm.replace("_", " "), None)
    return Cell(signed_text(arm.baseline), arm.baseline)


def _verdict_cell(arm: ReportedArm, *, split: str) -> Cell:
    verdict, fall = arm.fate, arm.fall(split)
    mark = VERDICT_MARKS.get(verdict)
    under = "" if fall is None else f"fell by {100 * fall:.1f}"
    return Cell(f"{mark} {verdict}" if mark else verdict, verdict, verdict=verdict, under=under)

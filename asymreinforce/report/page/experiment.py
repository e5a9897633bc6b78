"""Build the report page of an experiment: turn records into the values of the template."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from asymreinforce.report.commands import Commands
from asymreinforce.report.coverage import coverage_findings
from asymreinforce.report.evaluated import run_intervals
from asymreinforce.report.figures.canvas import Drawing
from asymreinforce.report.figures.colours import Style, group_styles
from asymreinforce.report.figures.coverage import NAME as COVERAGE
from asymreinforce.report.figures.curve_panels import Curves
from asymreinforce.report.figures.files import Drawn, css_variable, inline_svg
from asymreinforce.report.findings import answer_sentence, finding_sentences, question_sentence
from asymreinforce.report.groups import ArmGroup, group_label, signed_text
from asymreinforce.report.page.aggregate_table import aggregate_table
from asymreinforce.report.page.arm_table import arm_table
from asymreinforce.report.page.cells import setting_rows
from asymreinforce.report.page.coverage_table import coverage_table
from asymreinforce.report.page.curve_data import as_script, curve_data, svg_dashes
from asymreinforce.report.page.html import fill_template
from asymreinforce.report.page.result_table import SPLIT_MARK, result_table
from asymreinforce.report.page.samples import Samples, Writer
from asymreinforce.report.page.search_table import search_table
from asymreinforce.report.page.suite_table import suite_table
from asymreinforce.report.read import Report
from asymreinforce.report.records import Experiment, ReportedArm
from asymreinforce.report.results import RULE, GroupResults
from asymreinforce.report.searches import search_sentences
from asymreinforce.report.setting import describe_experiment
from asymreinforce.report.statistics.aggregates import aggregate_groups
from asymreinforce.untrusted import LONGEST

if TYPE_CHECKING:
    from markupsafe import Markup


PHASE_TRANSITION = "phase-transition"
ROLES = {
    "mu": "behaviour policy µ",
    "best": "lowest seed of the best setting",
    "collapsed": "lowest collapsed arm",
}


class Key(NamedTuple):
    """An entry of the legend: the style and the name of a group's line; `group` is its index."""

    group: int
    name: str
    colour: str
    dashes: str
    width: float


class Column(NamedTuple):
    """The head of a column of samples: the writer, and the command that shows all its samples."""

    role: str
    words: str
    command: str


class Inline(NamedTuple):
    """A figure with its SVG markup for the page."""

    drawing: Drawing
    svg: "Markup"


class FailedArm(NamedTuple):
    """An arm that failed: its name, its error, and the end of its log."""

    name: str
    error: str
    log: str


def render_experiment(
    report: Report, *, drawings: Drawn, curves: Sequence[Curves], samples: Samples
) -> str:
    """Return the page as HTML; all text from files is escaped and made visible."""
    experiment, groups, results = report.experiment, report.groups, report.results
    commands = Commands(experiment)
    return fill_template(
        "page.html.jinja",
        experiment=experiment,
        question=question_sentence(experiment, groups),
        setting=describe_experiment(experiment, groups),
        answer=answer_sentence(experiment, groups),
        findings=finding_sentences(experiment, groups),
        **sample_columns(samples, {experiment.name: commands}),
        covered=inline_figure(drawings, COVERAGE),
        coverage_findings=coverage_findings(report.coverage) if report.coverage else [],
        coverage=coverage_table(report.coverage) if report.coverage else None,
        suites=suite_table(report.suites) if report.suites else None,
        searched=search_table(report.searches),
        search_sentences=search_sentences(report.searches),
        settings=setting_rows(experiment.shared),
        report_command=commands.report,
        **results_and_curves(experiment, groups, results, drawings, curves),
        table=arm_table(experiment, commands, run_intervals(experiment.arms, report.ends)),
        results=result_table(results, commands),
        aggregates=aggregate_table(aggregate_groups(results), against=results.against),
    )


def results_and_curves(
    experiment: Experiment,
    groups: Sequence[ArmGroup],
    results: GroupResults,
    drawings: Drawn,
    curves: Sequence[Curves],
) -> dict[str, Any]:
    """Return the template values that the pages of one and of two experiments share."""
    from markupsafe import Markup

    of_groups = group_styles(groups)
    return {
        "transition": inline_figure(drawings, PHASE_TRANSITION),
        "found": results,
        "rule": RULE,
        "split_mark": SPLIT_MARK,
        "is_split": any(row.is_split for row in results.rows),
        "verdicts": {arm.fate for arm in experiment.arms},
        "failures": [_failed_arm(arm) for arm in experiment.arms if arm.failure],
        "curves": curves,
        "curve_data": Markup(as_script(curve_data(experiment, groups, of_groups, curves))),
        "legend": _legend_keys(groups, of_groups),
    }


def inline_figure(drawings: Drawn, name: str) -> Inline | None:
    """Return a figure for the page, with its variant for a small screen if it has one."""
    from markupsafe import Markup

    wide, narrow = (
        next((drawing for drawing in drawn if drawing.name == name), None) for drawn in drawings
    )
    if wide is None:
        return None
    if narrow is None:
        return Inline(wide, Markup(inline_svg(wide)))
    both = inline_svg(wide, variant="at-large") + inline_svg(narrow, variant="at-small")
    return Inline(wide, Markup(both))


def sample_columns(samples: Samples, commands: Mapping[str, Commands]) -> dict[str, Any]:
    """Return the template values of the samples; `commands` are by experiment name."""
    return {
        "samples": samples,
        "writers": [
            _writer_column(writer, commands[writer.experiment], is_named=len(commands) > 1)
            for writer in samples.writers
        ],
        "sample_commands": [
            [
                commands[w.experiment].samples(
                    w.arm, step=w.checkpoint.step, prompt_id=prompt.prompt_id
                )
                for w in samples.writers
            ]
            for prompt in samples.prompts
        ],
        "longest": LONGEST,
    }


def _legend_keys(groups: Sequence[ArmGroup], of_groups: Sequence[Style]) -> list[Key]:
    styled = enumerate(zip(groups, of_groups, strict=True))
    return [
        Key(rank, group_label(group, groups), css_variable(s.colour), svg_dashes(s), s.width)
        for rank, (group, s) in styled
        if any(arm.checkpoints or arm.metrics for arm in group.arms)
    ]


def _failed_arm(arm: ReportedArm) -> FailedArm:
    error, log = arm.failure or ("", "")
    # a log's end says why the arm stopped
    return FailedArm(_arm_name(arm), error[:LONGEST], log[-LONGEST:])


def _writer_column(writer: Writer, commands: Commands, *, is_named: bool) -> Column:
    accuracy = f"accuracy {100 * writer.checkpoint.accuracy:.1f}%"
    words = f"before training, {accuracy}"
    if writer.role != "mu":
        words = f"{_arm_name(writer.arm)}, step {writer.checkpoint.step}, {accuracy}"
    command = commands.samples(writer.arm, step=writer.checkpoint.step)
    role = ROLES[writer.role]
    return Column(f"{role} of {writer.experiment}" if is_named else role, words, command)


def _arm_name(arm: ReportedArm) -> str:
    if arm.uses_baseline and arm.baseline is not None:
        return f"baseline {signed_text(arm.baseline)}, seed {arm.seed}"
    return f"{arm.algorithm.replace('_', ' ')}, seed {arm.seed}"

"""Build the report page of an experiment: turn records into the values of the template."""

from collections.abc import Mapping, Sequence
from typing import Any

from asymreinforce.report.commands import Commands
from asymreinforce.report.coverage import coverage_findings
from asymreinforce.report.figures.colours import group_styles
from asymreinforce.report.figures.coverage import NAME as COVERAGE
from asymreinforce.report.figures.curve_panels import Curves
from asymreinforce.report.figures.files import Drawn, inline_svg
from asymreinforce.report.findings import answer_sentence, finding_sentences, question_sentence
from asymreinforce.report.groups import ArmGroup, signed_text
from asymreinforce.report.page.arm_table import arm_table
from asymreinforce.report.page.cells import setting_rows
from asymreinforce.report.page.curve_data import as_script, curve_data
from asymreinforce.report.page.html import fill_template
from asymreinforce.report.page.result_table import (
    SPLIT_MARK,
    aggregate_table,
    coverage_table,
    result_table,
    search_table,
    suite_table,
)
from asymreinforce.report.page.samples import Samples, Writer
from asymreinforce.report.read import Report
from asymreinforce.report.records import Experiment, ReportedArm
from asymreinforce.report.results import RULE, GroupResults
from asymreinforce.report.searches import search_sentences
from asymreinforce.report.setting import describe_experiment
from asymreinforce.report.statistics.aggregates import aggregate_groups
from asymreinforce.untrusted import LONGEST

PHASE_TRANSITION = "phase-transition"
ROLES = {
    "mu": "behaviour policy µ",
    "best": "lowest seed of the best setting",
    "collapsed": "lowest collapsed arm",
}


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
        table=arm_table(experiment, commands, report.ends),
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

    data = curve_data(experiment, groups, group_styles(groups), curves)
    return {
        "transition": inline_figure(drawings, PHASE_TRANSITION),
        "found": results,
        "rule": RULE,
        "split_mark": SPLIT_MARK,
        "is_split": any(row.is_split for row in results.rows),
        "verdicts": {arm.fate for arm in experiment.arms},
        "failures": [
            # a log's end says why the arm stopped
            (_arm_name(arm), arm.failure.error[:LONGEST], arm.failure.log[-LONGEST:])
            for arm in experiment.arms
            if arm.failure
        ],
        "curves": curves,
        "curve_data": Markup(as_script(data)),
        "legend": [
            (place, line)
            for place, (group, line) in enumerate(zip(groups, data["groups"], strict=True))
            if any(arm.checkpoints or arm.metrics for arm in group.arms)
        ],
    }


def inline_figure(drawings: Drawn, name: str) -> dict[str, Any] | None:
    """Return a figure for the page, with its variant for a small screen if it has one."""
    from markupsafe import Markup

    wide, narrow = (
        next((drawing for drawing in drawn if drawing.name == name), None) for drawn in drawings
    )
    if wide is None:
        return None
    svg = inline_svg(wide, variant="at-large" if narrow else "")
    svg += inline_svg(narrow, variant="at-small") if narrow else ""
    return wide._asdict() | {"svg": Markup(svg)}


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


def _writer_column(writer: Writer, commands: Commands, *, is_named: bool) -> dict[str, str]:
    """Return the head of a column: the writer, and the command that shows all its samples."""
    accuracy = f"accuracy {100 * writer.checkpoint.accuracy:.1f}%"
    words = f"before training, {accuracy}"
    if writer.role != "mu":
        words = f"{_arm_name(writer.arm)}, step {writer.checkpoint.step}, {accuracy}"
    command = commands.samples(writer.arm, step=writer.checkpoint.step)
    role = ROLES[writer.role]
    role = f"{role} of {writer.experiment}" if is_named else role
    return {"role": role, "words": words, "command": command}


def _arm_name(arm: ReportedArm) -> str:
    if arm.uses_baseline and arm.baseline is not None:
        return f"baseline {signed_text(arm.baseline)}, seed {arm.seed}"
    return f"{arm.algorithm.replace('_', ' ')}, seed {arm.seed}"

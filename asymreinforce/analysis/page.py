"""The report of an experiment: what its page shows, from records to the template's words."""

from collections.abc import Sequence
from typing import NamedTuple

from asymreinforce.analysis.arm_table import arm_table, setting_rows
from asymreinforce.analysis.canvas import Drawing
from asymreinforce.analysis.colours import Style, styles
from asymreinforce.analysis.figures import inline_svg, variable
from asymreinforce.analysis.findings import findings, question
from asymreinforce.analysis.groups import Group, label, signed
from asymreinforce.analysis.html import fill
from asymreinforce.analysis.records import Arm, Experiment
from asymreinforce.analysis.samples import Samples, Writer
from asymreinforce.analysis.untrusted import LONGEST

PHASE_TRANSITION = "phase-transition"
ROLES = {"mu": "behaviour policy µ", "best": "best arm", "collapsed": "collapsed arm"}


class Key(NamedTuple):
    """An entry of the legend: a piece of a group's line, and its name."""

    name: str
    colour: str
    dashes: str
    width: float


class FailedArm(NamedTuple):
    """An arm that stopped, by name, with the end of its log."""

    name: str
    error: str
    log: str


def render(
    experiment: Experiment, groups: Sequence[Group], drawings: Sequence[Drawing], samples: Samples
) -> str:
    """Return the page. Everything that comes from files is escaped and made visible."""
    from markupsafe import Markup

    figures = {drawing.name: (drawing, Markup(inline_svg(drawing))) for drawing in drawings}
    return fill(
        "page.html.jinja",
        experiment=experiment,
        question=question(experiment, groups),
        findings=findings(experiment, groups),
        transition=figures.pop(PHASE_TRANSITION, None),
        curves=list(figures.values()),
        legend=_legend(groups, styles(groups)),
        table=arm_table(experiment),
        failures=[_failed(arm) for arm in experiment.arms if arm.failure],
        verdicts={arm.fate for arm in experiment.arms},
        samples=samples,
        writers=[(ROLES[writer.role], _writer(writer)) for writer in samples.writers],
        settings=setting_rows(experiment.shared),
        longest=LONGEST,
    )


def _legend(groups: Sequence[Group], of_groups: Sequence[Style]) -> list[Key]:
    return [
        Key(
            label(of, groups),
            variable(style.colour),
            " ".join(f"{style.width * length:g}" for length in style.dashes),
            style.width,
        )
        for of, style in zip(groups, of_groups, strict=True)
        if any(arm.checkpoints or arm.metrics for arm in of.arms)
    ]


def _failed(arm: Arm) -> FailedArm:
    error, log = arm.failure or ("", "")
    return FailedArm(_name(arm), error[:LONGEST], log[-LONGEST:])


def _writer(writer: Writer) -> str:
    if writer.role == "mu":
        return f"before training, accuracy {100 * writer.checkpoint.accuracy:.1f}%"
    accuracy = f"accuracy {100 * writer.checkpoint.accuracy:.1f}%"
    return f"{_name(writer.arm)}, step {writer.checkpoint.step}, {accuracy}"


def _name(arm: Arm) -> str:
    if arm.uses_baseline and arm.baseline is not None:
        return f"baseline {signed(arm.baseline)}, seed {arm.seed}"
    return f"{arm.algorithm.replace('_', ' ')}, seed {arm.seed}"

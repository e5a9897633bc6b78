"""The report as one HTML file: a template, a style sheet, a script; no other file, no network.

Three fences keep what a model wrote from acting: jinja2 escapes every value, `visible` spells out
every character that does not show itself, and the page's own policy lets only its one script run.
"""

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from asymreinforce.analysis.arm_table import arm_table, setting_rows
from asymreinforce.analysis.canvas import Drawing
from asymreinforce.analysis.colours import Style, styles
from asymreinforce.analysis.figures import inline_svg, palette, variable
from asymreinforce.analysis.findings import findings, question
from asymreinforce.analysis.groups import Group, label, signed
from asymreinforce.analysis.records import Arm, Experiment
from asymreinforce.analysis.samples import Samples, Writer
from asymreinforce.analysis.untrusted import LONGEST, visible

HERE = Path(__file__).parent
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
    import jinja2
    from markupsafe import Markup

    of_groups = styles(groups)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_show,
    )
    script = (HERE / "page.js").read_text()
    figures = {
        drawing.name: (drawing, Markup(inline_svg(drawing, of_groups))) for drawing in drawings
    }
    return environment.get_template("page.html.jinja").render(
        experiment=experiment,
        question=question(experiment, groups),
        findings=findings(experiment, groups),
        transition=figures.pop(PHASE_TRANSITION, None),
        curves=list(figures.values()),
        legend=_legend(groups, of_groups),
        table=arm_table(experiment),
        failures=[_failed(arm) for arm in experiment.arms if arm.failure],
        verdicts={arm.fate for arm in experiment.arms},
        samples=samples,
        writers=[(ROLES[writer.role], _writer(writer)) for writer in samples.writers],
        settings=setting_rows(experiment.shared),
        longest=LONGEST,
        style=Markup((HERE / "page.css").read_text()),
        theme=Markup(_theme(of_groups)),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _show(value: Any) -> Any:
    """Make every plain string of the page visible; markup of this package's own is left alone."""
    return visible(value) if type(value) is str else value


def _theme(of_groups: Sequence[Style]) -> str:
    """Return the CSS variables of every colour in the light and in the dark theme."""
    colours = palette(of_groups)
    light = ";".join(f"--{variable(colour)}:{colour.light}" for colour in colours)
    dark = ";".join(f"--{variable(colour)}:{colour.dark}" for colour in colours)
    return f":root{{{light}}}\n@media (prefers-color-scheme: dark){{:root{{{dark}}}}}"


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

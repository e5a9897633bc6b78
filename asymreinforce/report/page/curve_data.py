"""Write the curves as JSON, from which the page's script draws them at any width.

    {"groups": [{name, colour, dashes, width, seeds}], "behaviour": 40.5,
     "panels": [{name, unit, symlog, lines: [[group, steps, mean, low, high], ...]}]}

`steps` is an index into the panel's `axes`, since arms share their steps; values are in the panel's
unit.
"""

import json
import math
from collections.abc import Sequence
from typing import Any

from asymreinforce.report.figures.colours import BEHAVIOUR, Style
from asymreinforce.report.figures.curve_panels import Curves, is_logarithmic
from asymreinforce.report.figures.files import css_variable
from asymreinforce.report.groups import ArmGroup, every_nth, group_label
from asymreinforce.report.records import Experiment
from asymreinforce.untrusted import visible

DIGITS = 4
MOST_POINTS = 100_000
"""Most points of a page; if there are more, lines are thinned."""


def curve_data(
    experiment: Experiment,
    groups: Sequence[ArmGroup],
    styles: Sequence[Style],
    curves: Sequence[Curves],
) -> dict[str, Any]:
    """Return the data of all panels, thinned so that the page stays within a few MB."""
    points = sum(len(band.steps) for panel in curves for band in panel.bands)
    stride = -(-points // MOST_POINTS) or 1
    accuracy = experiment.behaviour_accuracy
    return {
        "groups": [
            {
                "name": visible(group_label(group, groups)),
                "colour": css_variable(style.colour),
                "dashes": " ".join(f"{style.width * length:g}" for length in style.dashes),
                "width": style.width,
                "seeds": len(group.arms),
            }
            for group, style in zip(groups, styles, strict=True)
        ],
        "behaviour": None if accuracy is None else _round_value(100 * accuracy),
        "behaviourColour": css_variable(BEHAVIOUR),
        "panels": [_panel_data(panel, stride) for panel in curves],
    }


def as_script(data: dict[str, Any]) -> str:
    """Write data as JSON that is safe inside a script element."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # a raw "</script>" in a label would end the element
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _panel_data(curves: Curves, stride: int) -> dict[str, Any]:
    axes: dict[tuple[int, ...], int] = {}
    lines = []
    for place, band in enumerate(curves.bands):
        if not band.steps:
            continue
        chosen = every_nth(len(band.steps), stride)
        steps = axes.setdefault(band.steps[chosen], len(axes))
        series: list[list[float | None]] = [
            [_round_value(curves.panel.scale * value) for value in values[chosen]]
            for values in (band.mean, band.low, band.high)
        ]
        # a single seed has no band: its low and high are the mean
        lines.append([place, steps, *(series if band.low != band.high else series[:1])])
    return {
        "name": curves.panel.name,
        "unit": curves.panel.unit,
        "symlog": is_logarithmic(curves),
        "axes": list(axes),
        "lines": lines,
    }


def _round_value(value: float) -> float | None:
    """Round to `DIGITS` digits; None, a gap in the line, if the value is not finite."""
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None

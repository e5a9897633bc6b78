"""Colours and line styles: blue and solid below a baseline of 0, orange and dashed above it.

People with any common colour blindness can tell blue from orange, and the line style repeats the
distinction. Lines darken away from zero in the light theme and brighten in the dark theme, so that
each keeps a contrast of at least 3:1 with the surface. Figures are drawn in light colours; the page
replaces each colour of `PALETTE` by a CSS variable with a value for each theme.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from asymreinforce.report.groups import ArmGroup


class Colour(NamedTuple):
    """A colour in the light and in the dark theme, as `#rrggbb`."""

    light: str
    dark: str


class Style(NamedTuple):
    """The style of a group's line; `dashes` are lengths in units of its width."""

    colour: Colour
    dashes: tuple[float, ...]
    width: float

    @property
    def line(self) -> dict[str, Any]:
        """The keyword arguments with which matplotlib draws the line."""
        dashes = (0, self.dashes) if self.dashes else "-"
        return {"color": self.colour.light, "linewidth": self.width, "linestyle": dashes}


SURFACE = Colour("#ffffff", "#171c23")
INK = Colour("#1b2430", "#e8ecf1")
MUTED = Colour("#5c6773", "#a3adb8")
GRID = Colour("#dde2e8", "#2f3741")
BEHAVIOUR = Colour("#5b3a8c", "#c4a6f2")
ABOVE_CRITICAL = Colour("#f6e3cf", "#3a2a1a")
THEME = (SURFACE, INK, MUTED, GRID, BEHAVIOUR, ABOVE_CRITICAL)

NEGATIVE = (Colour("#1c8dc4", "#2f9be0"), Colour("#08306b", "#b4d2ff"))
POSITIVE = (Colour("#c77400", "#e08a00"), Colour("#7a1f00", "#ffc4a0"))
ZERO = Colour("#68707b", "#98a2ae")
WITHOUT_BASELINE = (
    Colour("#0b7a53", "#43c596"),
    Colour("#a3387d", "#ec88c6"),
    Colour("#6b6b00", "#c9c34a"),
)

CATEGORIES = (
    Colour("#1c6fb0", "#5aa9e6"),
    Colour("#c75d00", "#f0933a"),
    WITHOUT_BASELINE[0],
)
"""Blue, orange and green, for categories without an order."""

ON_DARK_CELL = Colour("#fefefe", "#fefefe")
ON_LIGHT_CELL = Colour("#101114", "#101114")
"""Colours of numbers on a coloured map, whose cells are the same in both themes."""

# 60 is divisible by 1 to 6, so that evenly spaced ranks of up to 7 colours fall on stops
RAMP_STOPS = 60
"""The number of steps of a colour ramp."""

WIDTHS = (1.0, 0.5, 1.7)
SOLID: tuple[float, ...] = ()
DASHED = (5.0, 1.8)
DASH_DOTTED = (6.0, 1.6, 1.4, 1.6)
DOTTED = (1.4, 1.6)


def group_styles(groups: Iterable[ArmGroup]) -> list[Style]:
    """Return one style per group; the colour follows the rank of the baseline from zero."""
    listed = list(groups)
    baselines = [group.baseline for group in listed if group.baseline is not None]
    # the width tells groups with the same baseline apart, the colour groups without a baseline
    swept = list(dict.fromkeys(group.family for group in listed if group.baseline is not None))
    level = list(dict.fromkeys(group.family for group in listed if group.baseline is None))
    styles = []
    for group in listed:
        if group.baseline is None:
            colour = WITHOUT_BASELINE[level.index(group.family) % len(WITHOUT_BASELINE)]
            styles.append(Style(colour, DOTTED, 2.0))
        else:
            style = signed_style(group.baseline, baselines)
            width = style.width * WIDTHS[swept.index(group.family) % len(WIDTHS)]
            styles.append(style._replace(width=width))
    return styles


def signed_style(value: float, among: Iterable[float]) -> Style:
    """Return the line style of a baseline: the colour follows its sign and its rank from zero."""
    if value == 0:
        return Style(ZERO, DASH_DOTTED, 2.0)
    ramp, dashes = (NEGATIVE, SOLID) if value < 0 else (POSITIVE, DASHED)
    same_sign = sorted({abs(other) for other in among if other * value > 0})
    return Style(on_ramp(ramp, same_sign.index(abs(value)), len(same_sign)), dashes, 1.6)


def on_ramp(ramp: tuple[Colour, Colour], rank: int, count: int) -> Colour:
    """Return the colour of a rank among `count` at the nearest stop; rank 0 is nearest to zero."""
    return _ramp_colour(ramp, round(RAMP_STOPS * rank / (count - 1)) if count > 1 else 0)


def _ramp_colour(ramp: tuple[Colour, Colour], stop: int) -> Colour:
    near, far = ramp
    share = stop / RAMP_STOPS
    return Colour(*(_mix_colours(*ends, share) for ends in zip(near, far, strict=True)))


def _mix_colours(near: str, far: str, share: float) -> str:
    channels = (
        round(int(near[i : i + 2], 16) * (1 - share) + int(far[i : i + 2], 16) * share)
        for i in (1, 3, 5)
    )
    return "#" + "".join(f"{channel:02x}" for channel in channels)


PALETTE = tuple(
    dict.fromkeys(
        [
            *THEME,
            *(_ramp_colour(NEGATIVE, stop) for stop in range(RAMP_STOPS + 1)),
            *(_ramp_colour(POSITIVE, stop) for stop in range(RAMP_STOPS + 1)),
            *(ZERO, *WITHOUT_BASELINE, *CATEGORIES, ON_DARK_CELL, ON_LIGHT_CELL),
        ]
    )
)
"""All colours that figures use, each once."""

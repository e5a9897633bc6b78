"""`asymrl settings`: print every setting with meaning, range, default, and what it determines.

`docs/reference/settings.md` is the output of `asymrl settings --markdown`. Both come from the
pydantic models.
"""

import json
import shutil
import textwrap
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

import typer

WIDTH = 100
"""The largest width of printed lines."""
BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
DETERMINED = {
    "PROMPTS": "the prompts, and all that is made of them",
    "ROLLOUTS": "the rollouts, and all that is made of them",
    "VERDICTS": "the verdicts, and all that is made of them",
    "ARM": "an arm",
    "EVALUATION": "an arm's evaluation",
    "NOTHING": "no result",
}
HEAD = """\
# Settings

Every setting of every command but `asymrl bandit`, for `KEY=VALUE` on the command line and for a
line of an experiment's file (`asymrl new`). `asymrl settings WORD` prints the settings in which a
word occurs; `asymrl train --cfg job` prints the values that a command would use. This page is
written by `asymrl settings --markdown`.

A setting *determines* the first result that depends on it. All later results depend on it too:
prompts, then rollouts, verdicts, arms, evaluations.

## Groups

`GROUP=NAME` sets several settings at once, from the file `conf/GROUP/NAME.yaml`.

"""


class Setting(NamedTuple):
    """The description of one setting."""

    key: str
    meaning: str
    values: str
    default: str
    determines: str


def settings(
    word: Annotated[
        str | None, typer.Argument(help="Part of a key or of a meaning.", show_default=False)
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print docs/reference/settings.md.")
    ] = False,
) -> None:
    """Print every setting with its meaning, range, default, and what it determines.

    asymrl settings

    asymrl settings length                           settings with this word in key or meaning
    """
    from asymreinforce import terminal
    from asymreinforce.errors import ConfigError

    chosen = [one for one in catalogue() if _holds(one, word)]
    if not chosen:
        from asymrl.keys import nearest

        near = nearest(word or "", [one.key for one in catalogue()])
        advice = f"; the nearest is {near[0]}" if near else ""
        raise ConfigError(f"{word}: no setting has this word in its key or meaning{advice}")
    text = page(chosen) if markdown else "\n".join(_printed(one) for one in chosen)
    terminal.print_line(text.rstrip("\n"), to_stderr=False)


def catalogue() -> Iterator[Setting]:
    """Yield every setting in the order of the models."""
    from asymreinforce.data.determines import FIRST, Product
    from asymrl import keys

    base, choices = keys.base(), _chosen_by_groups()
    for key, field in keys.fields().items():
        first = FIRST.get(key, FIRST.get(".".join(key.split(".")[:2]), Product.ARM))
        default = "none"
        if key in base:  # conf/config.yaml overrides the defaults of the models
            default = _shown(base[key])
        elif not field.is_required():
            default = _shown(field.get_default(call_default_factory=True))
        elif key in choices:
            default = f"none; {choices[key]}"
        values = "; ".join(dict.fromkeys(_values(field.annotation, field.metadata)))
        yield Setting(key, field.description or "", values, default, DETERMINED[first.name])


def page(chosen: Iterable[Setting]) -> str:
    """Return the text of docs/reference/settings.md."""
    from asymrl import keys

    lines = [HEAD.rstrip("\n"), ""]
    for group, names in keys.groups().items():
        lines.append(f"- `{group}`: {', '.join(f'`{name}`' for name in names)}")
    section: str | None = None
    for one in chosen:
        own = one.key.rpartition(".")[0]
        if own != section:
            section = own
            lines += ["", f"## {own or 'The experiment'}", ""]
            lines += ["| setting | meaning | values | default | determines |", "|" + " --- |" * 5]
        cells = (f"`{one.key}`", one.meaning, one.values, _code(one.default), one.determines)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _code(default: str) -> str:
    return default if default.startswith("none") or not default else f"`{default}`"


def _holds(one: Setting, word: str | None) -> bool:
    return word is None or word.lower() in f"{one.key} {one.meaning}".lower()


def _printed(one: Setting) -> str:
    """Return a setting as lines of text."""
    width = min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns)
    details = f"{one.values}. Default: {one.default}. Determines {one.determines}."
    indented = [
        textwrap.fill(text, width, initial_indent="    ", subsequent_indent="    ")
        for text in (one.meaning, details)
    ]
    return "\n".join([one.key, *indented, ""])


def _shown(default: Any) -> str:
    """Return a default in the syntax of KEY=VALUE."""
    from pydantic_core import to_jsonable_python

    value = to_jsonable_python(default)
    return value if isinstance(value, str) else json.dumps(value)


def _values(annotation: Any, metadata: Iterable[Any]) -> Iterator[str]:
    """Yield the type of a setting and its bounds, in words."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        yield from _values(parts[0], parts[1:])
    elif origin is Literal:
        yield "one of " + ", ".join(str(part) for part in parts)
    elif parts and origin not in (list, tuple, dict):
        yield " or ".join(", ".join(_values(part, ())) for part in parts)
    elif origin in (list, tuple):
        inner = [part for part in parts if part is not ...]
        is_list = origin is list or ... in parts
        many = "a list of" if is_list else f"{len(inner)}"
        yield f"{many} {_plural(next(_values(inner[0], ())))}"
    else:
        names = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
        names |= {dict: "a mapping", type(None): "null"}
        yield names.get(origin or annotation, "a path" if "Path" in str(annotation) else "a value")
    bounds = [b for part in metadata for b in (part, *getattr(part, "metadata", ()))]
    for part in bounds:
        for name, words in BOUNDS.items():
            if (limit := getattr(part, name, None)) is not None:
                yield f"{words} {limit:,}" if isinstance(limit, int) else f"{words} {limit:g}"
        if pattern := getattr(part, "pattern", None):
            yield f"matching {pattern}"


def _plural(values: str) -> str:
    return f"{values.removeprefix('a ')}s" if values.startswith("a ") else values


def _chosen_by_groups() -> dict[str, str]:
    """Return, for each setting, the groups whose files set it, in words."""
    from asymrl import keys

    groups_of: dict[str, dict[str, None]] = {}
    for group, names in keys.groups().items():
        for name in names:
            for key in keys.stated(group, name):
                groups_of.setdefault(key, {})[group] = None
    return {key: f"set by {' and '.join(f'{g}=NAME' for g in of)}" for key, of in groups_of.items()}

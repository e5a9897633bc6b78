"""Shell completion after a command: KEY= and GROUP=NAME, values of choices, files."""

from pathlib import Path
from typing import Literal, get_args, get_origin

import typer


def complete(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the possible completions of a word."""
    # Shells that end words at '=', as bash does, ask for the value alone.
    args: list[str] = [*(ctx.params.get("settings") or ()), *ctx.args]
    if incomplete == "=" and args:
        return _values(args[-1], "")
    if len(args) > 1 and args[-1] == "=":
        return _values(args[-2], incomplete)
    key, equals, value = incomplete.partition("=")
    if equals:
        return [f"{key}={one}" for one in _values(key, value)]
    from asymrl import keys

    files = sorted(Path().glob("*.yaml"))
    offered = [f"{key}=" for key in (*keys.groups(), *keys.fields())] + [
        path.name for path in files
    ]
    return [word for word in dict.fromkeys(offered) if word.startswith(incomplete)]


def _values(key: str, begun: str) -> list[str]:
    """Return the values of a group, or of a setting that has only a few values."""
    from asymrl import keys

    choices = list(keys.groups().get(key, ()))
    if not choices and key in keys.fields():
        annotation = keys.fields()[key].annotation
        parts = [annotation, *get_args(annotation)]
        choices = [
            str(one) for part in parts if get_origin(part) is Literal for one in get_args(part)
        ]
        choices = ["true", "false"] if annotation is bool else choices
    return [one for one in choices if one.startswith(begun)]

"""Generate the pages of docs/reference/ on commands, settings and file formats.

    .venv/bin/python -m scripts.write_reference

Run this script after a change of help texts, settings or schemas: `tests/test_docs.py` fails if a
page differs from its output.
"""

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import typer.main
from asymrl.main import app
from asymrl.settings_command import settings

from asymreinforce.data.schemas import CONTRACTS, Contract
from scripts.column_meanings import MEANINGS

REFERENCE = Path(__file__).parents[1] / "docs/reference"
FILES_HEAD = """\
# File formats

Stages meet in parquet files alone, one contract each. A file carries its contract's name and
version in its metadata; another version is refused and never guessed at. The columns of the key are
unique together in a file. Advantages are never stored: they are a function of reward, group and
baseline. This page is written by `scripts/write_reference.py` from `asymreinforce/data/schemas.py`.

Each stage's directory also holds `plan.json` (the settings and inputs that determine its bytes, and
the shards to come), a receipt with a checksum beside each shard, and `manifest.json` once it is
complete.
"""
EXAMPLE = re.compile(r"^ *asymrl\b")


def main() -> None:
    for name, text in pages().items():
        (REFERENCE / name).write_text(text, encoding="utf-8")


def pages() -> dict[str, str]:
    """Return the pages by file name."""
    return {
        "commands.md": commands_page(),
        "settings.md": settings_page(),
        "files.md": files_page(),
    }


def settings_page() -> str:
    written = io.StringIO()
    with contextlib.redirect_stdout(written):
        settings(None, markdown=True)
    return written.getvalue()


def commands_page() -> str:
    root: Any = typer.main.get_command(app)
    lines = [
        "# Commands",
        "",
        "What `asymrl COMMAND --help` says, on one page, written by `scripts/write_reference.py`.",
        "Settings are [KEY=VALUE](settings.md), behind any command that takes them.",
        "",
    ]
    for name, command in root.commands.items():
        lines += command_section(name, command)
    return "\n".join(lines).rstrip() + "\n"


def command_section(name: str, command: Any) -> list[str]:
    lines = [f"## asymrl {name}", "", *help_lines(command.help or ""), ""]
    shown = [p for p in command.params if p.name != "help"]
    if shown:
        lines += ["| argument or option | meaning |", "| --- | --- |"]
        lines += [f"| `{usage_of(p)}` | {escaped(getattr(p, 'help', '') or '')} |" for p in shown]
        lines.append("")
    return lines


def usage_of(parameter: Any) -> str:
    if parameter.param_type_name == "option":
        return ", ".join([*parameter.opts, *parameter.secondary_opts])
    return str(parameter.metavar or parameter.name)


def help_lines(text: str) -> list[str]:
    """Return a help text in Markdown; example lines become code blocks."""
    lines: list[str] = []
    for paragraph in text.replace("\b", "").replace("\f", "").strip().split("\n\n"):
        own = paragraph.split("\n")
        is_example = EXAMPLE.match(own[0]) is not None
        lines += ["", *(f"    {line.rstrip()}" for line in own)] if is_example else ["", *own]
    return lines[1:]


def files_page() -> str:
    lines = [FILES_HEAD]
    for contract in CONTRACTS:
        lines += contract_section(contract)
    return "\n".join(lines).rstrip() + "\n"


def contract_section(contract: Contract) -> list[str]:
    key = ", ".join(f"`{name}`" for name in contract.key)
    lines = [f"## {contract.name}, version {contract.version}", "", f"Key: {key}.", ""]
    lines += ["| column | type | meaning |", "| --- | --- | --- |"]
    for field in contract.schema:
        type_ = str(field.type).replace("list<element: ", "list of ").replace(" not null>", "")
        null = "" if not field.nullable else ", may be null"
        lines.append(f"| `{field.name}` | {type_}{null} | {escaped(MEANINGS[field.name])} |")
    return [*lines, ""]


def escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    main()

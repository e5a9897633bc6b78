"""Imports point downwards; only `asymrl` knows typer and Hydra; stages never import each other."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "asymreinforce"

LAYERS = (
    (
        "config",
        "credentials",
        "errors",
        "failures",
        "interruption",
        "plugins",
        "processes",
        "progress",
        "terminal",
        "untrusted",
    ),
    ("algorithm", "workers", "data"),
    ("bandit", "grading", "model", "rewards", "tasks", "tracking"),
    ("engines", "update"),
    ("stages", "imported"),
    ("experiment",),
    ("planning", "viewing"),
    ("hub",),
    ("asymrl",),
)
"""From the bottom up; a module imports from its own layer and from those below."""

REPORT_READS = {"report", "data", "errors", "config", "untrusted"}
BENCH_CONTRACTS = f"{PACKAGE}.bandit.contracts"
"""The schemas of the theory bench's files stand beside the bench; its readers may know them."""

READ_BY_THE_REPORT = (
    f"{PACKAGE}.algorithm.ending",
    f"{PACKAGE}.algorithm.table",
    f"{PACKAGE}.rewards.scale",
    f"{PACKAGE}.rewards.sums",
    f"{PACKAGE}.rewards.warnings",
)
"""How an arm ended, which objectives have a baseline, what makes a stored verdict correct, what is
reported of an evaluation, and what a run is warned of, stand once each, and whoever reads them may
ask."""

BORDER = {"hydra", "hydra_plugins", "typer", "omegaconf"}
"""What only the command line knows."""

HEAVY = {"torch", "vllm", "transformers", "pyarrow", "matplotlib", "numpy", "pydantic", "rich"}


class Import(NamedTuple):
    """A module that a file imports, and the file."""

    path: Path
    module: str
    is_lazy: bool

    @property
    def where(self) -> str:
        """The file's path below the package, or below the repository."""
        package = ROOT / PACKAGE
        inside = self.path.is_relative_to(package)
        return str(self.path.relative_to(package if inside else ROOT))


def imports_of(directory: Path) -> list[Import]:
    """Every import statement below a directory, wherever in its file it stands."""
    return [found for path in sorted(directory.rglob("*.py")) for found in _of_file(path)]


def _of_file(path: Path) -> Iterator[Import]:
    tree = ast.parse(path.read_text())
    at_top = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (Import(path, name.name, id(node) not in at_top) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            assert node.module
            yield Import(path, node.module, id(node) not in at_top)
            # `from asymreinforce import inputs` names a module by its alias
            for name in node.names:
                yield Import(path, f"{node.module}.{name.name}", id(node) not in at_top)


def part_of(found: str) -> str:
    """The part of the package that a module or file belongs to: `stages`, `asymrl`, `config`."""
    pieces = found.removesuffix(".py").replace("/", ".").split(".")
    return pieces[1] if pieces[0] == PACKAGE and len(pieces) > 1 else pieces[0]


LIBRARY = imports_of(ROOT / PACKAGE)
CLI = imports_of(ROOT / "cli")
OWN = [found for found in LIBRARY if found.module.startswith(f"{PACKAGE}.")]
RANK = {part: rank for rank, layer in enumerate(LAYERS) for part in layer}


def test_every_part_of_the_package_has_a_layer() -> None:
    parts = {
        path.stem
        for path in (ROOT / PACKAGE).iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert parts - {"__init__", "report"} == set(RANK) - {"asymrl"}


@pytest.mark.parametrize("part", [part for layer in LAYERS for part in layer if part != "asymrl"])
def test_imports_point_downwards(part: str) -> None:
    own = [found for found in OWN if part_of(found.where) == part]
    upwards = [
        f"{found.where} imports {found.module}"
        for found in own
        if RANK.get(part_of(found.module), len(LAYERS)) > RANK[part]
        and not (part == "viewing" and part_of(found.module) == "report")
    ]
    assert upwards == []


def test_nothing_in_the_library_imports_the_command_line_scripts_or_tests() -> None:
    roots = {found.module.split(".")[0] for found in LIBRARY}
    assert roots & {"asymrl", "scripts", "tests"} == set()


def test_stages_never_import_each_other() -> None:
    stages = [found for found in OWN if found.where.startswith("stages/")]
    assert {found.where.split("/")[1].removesuffix(".py") for found in stages} >= {
        "init",
        "generate",
        "score",
        "train",
        "evaluate",
    }
    crossing = [
        f"{found.where} imports {found.module}"
        for found in stages
        if found.module.startswith(f"{PACKAGE}.stages.")
        and found.module.split(".")[2] != found.where.split("/")[1].removesuffix(".py")
    ]
    assert crossing == []


def test_the_report_reads_files_only() -> None:
    """Its modules know contracts and settings, and nothing that computes, samples or trains."""
    strangers = [
        f"{found.where} imports {found.module}"
        for found in OWN
        if part_of(found.where) == "report"
        and part_of(found.module) not in REPORT_READS
        and not found.module.startswith(READ_BY_THE_REPORT)
        and not (
            found.where.startswith("report/bandit/") and found.module.startswith(BENCH_CONTRACTS)
        )
    ]
    assert strangers == []


def test_only_the_command_line_and_what_looks_import_the_report() -> None:
    outside = [found for found in OWN if part_of(found.where) not in {"report", "viewing"}]
    assert [f.where for f in outside if part_of(f.module) == "report"] == []


def test_only_the_command_line_knows_typer_and_hydra() -> None:
    known = {found.module.split(".")[0] for found in LIBRARY} & BORDER
    assert known == set()
    assert {found.module.split(".")[0] for found in CLI} >= {"hydra", "typer", "omegaconf"}


def test_the_command_line_imports_nothing_heavy_before_it_is_asked_to() -> None:
    """`cli/asymrl/main.py` is what `asymrl --help` imports, with `commands.py`."""
    light = {"main.py", "commands.py"}
    eager = [found.module for found in CLI if found.path.name in light and not found.is_lazy]
    assert {module.split(".")[0] for module in eager} & {*HEAVY, *BORDER, PACKAGE} == {"typer"}


def test_only_the_store_and_its_files_rename() -> None:
    """No other module publishes files by hand or reads a manifest."""
    renames = {
        str(path.relative_to(ROOT / PACKAGE))
        for path in (ROOT / PACKAGE).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in {"rename", "replace_file", "renames"}
    }
    assert renames == {"data/files.py"}


def test_text_leaves_for_the_terminal_by_two_doors_alone() -> None:
    """No other module prints, or makes a console (`terminal.py` says why)."""
    found = {
        f"{path.relative_to(ROOT)}: {ast.unparse(node.func)}"
        for folder in (ROOT / PACKAGE, ROOT / "cli")
        for path in folder.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).split(".")[-1] in {"print", "echo", "secho", "Console"}
        and not ast.unparse(node.func).endswith(("console.print", "console().print"))
    }
    assert found == {"asymreinforce/terminal.py: print"}

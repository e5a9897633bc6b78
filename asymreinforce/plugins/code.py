"""Find the code that a plugin imports from outside the installed packages, without running it.

Import statements are followed, inside functions too, and calls of `import_module` with a literal
name. Modules of installed packages and of this package do not count.
"""

import ast
import functools
import hashlib
import importlib
import importlib.util
import site
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any, NamedTuple

IMPORTING = {"import_module", "__import__"}
UNFOLLOWED = {"exec", "run_module", "run_path", "spec_from_file_location"}
"""Calls that may load code whose place the source does not tell."""


class Code(NamedTuple):
    """The code that importing a plugin loads."""

    sums: dict[str, str]
    """Module -> SHA-256 of its file."""
    names: frozenset[str]
    """Names that the plugin's module defines or imports at its top level."""
    unfollowed: list[str]
    """Places that may load code that is not in `sums`, in words."""


def read_code(module: str) -> Code | None:
    """Return the code of a module and of its imports; None if there is no such module.

    The plugin's top-level package counts even if it is installed.
    """
    importlib.invalidate_caches()  # the file may be newer than Python's directory listings
    if find_module(module) is None:
        return None
    loaded = Code({}, frozenset(), [])
    pending, seen = [module], set()
    while pending:
        name = pending.pop()
        if name in seen or not name:
            continue
        seen.add(name)
        spec = find_module(name)
        if spec is None or not _is_counted(spec, plugin=module):
            continue
        package = name if spec.submodule_search_locations is not None else name.rpartition(".")[0]
        pending.append(name.rpartition(".")[0])  # a package is imported before its modules
        content = _module_bytes(spec)
        tree = _parse_source(content) if content is not None else None
        if content is not None:
            loaded.sums[name] = hashlib.sha256(content).hexdigest()
        if tree is not None:
            pending += _imported_names(tree, package)
            loaded.unfollowed.extend(f"{name}, line {place}" for place in _unfollowed_places(tree))
            if name == module:
                loaded = loaded._replace(names=frozenset(_top_names(tree.body)))
    return loaded


def find_module(module: str) -> ModuleSpec | None:
    """Find a module as `import` would, then in the current directory, without running anything."""
    spec: ModuleSpec | None = None
    places: Any = None
    parts = module.split(".")
    for count in range(1, len(parts) + 1):
        spec = _find_part(".".join(parts[:count]), places)
        if spec is None:
            return None
        places = spec.submodule_search_locations or []
    return spec


def _find_part(name: str, places: Any) -> ModuleSpec | None:
    for finder in sys.meta_path:
        if spec := finder.find_spec(name, places, None):
            return spec
    return PathFinder.find_spec(name, [str(Path.cwd())]) if places is None else None


def _is_counted(spec: ModuleSpec, *, plugin: str) -> bool:
    """Tell whether a module is in the plugin's package, or not Python's, installed or ours."""
    if spec.name.partition(".")[0] == plugin.partition(".")[0]:
        return True
    if spec.origin is None:  # a namespace package, whose modules may lie anywhere
        return spec.submodule_search_locations is not None
    path = Path(spec.origin).resolve()
    if not spec.has_location or {"site-packages", "dist-packages"} & {*path.parts}:
        return False
    return not any(path.is_relative_to(root) for root in _installed_roots())


@functools.cache
def _installed_roots() -> set[Path]:
    paths = sysconfig.get_paths()
    roots = {paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")}
    roots |= {*site.getsitepackages(), site.getusersitepackages(), str(Path(__file__).parents[1])}
    return {Path(root).resolve() for root in roots}


def _module_bytes(spec: ModuleSpec) -> bytes | None:
    """Return the bytes of a module's file; None for a package without one, or a built-in module."""
    if spec.origin is None:
        return None
    path = Path(spec.origin)
    if path.is_file():
        return path.read_bytes()
    get_data = getattr(spec.loader, "get_data", None)  # the module may lie in a zip archive
    try:
        return bytes(get_data(spec.origin)) if get_data else None
    except OSError:
        return None


def _parse_source(content: bytes) -> ast.Module | None:
    """Return the syntax tree of a source file; None if it is no Python source."""
    try:
        return ast.parse(content)
    except (SyntaxError, ValueError, RecursionError):
        return None


def _imported_names(tree: ast.Module, package: str) -> Iterator[str]:
    """Name the modules that a file may import; some names may be functions or classes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute_name("." * node.level + (node.module or ""), package)
            yield from (base, *(f"{base}.{alias.name}" for alias in node.names))
        elif isinstance(node, ast.Call) and (literal := _literal_import(node)):
            yield _absolute_name(literal, package)
        elif isinstance(node, ast.Assign) and "__all__" in _target_names(node):
            # `from package import *` imports the modules that `__all__` names
            yield from (f"{package}.{text}" for text in _literal_texts(node.value))


def _absolute_name(name: str, package: str) -> str:
    try:
        return importlib.util.resolve_name(name, package)
    except ImportError:  # the import reaches above the top package, and fails if it runs
        return name.lstrip(".")


def _literal_import(call: ast.Call) -> str:
    first = call.args[0] if call.args else None
    if _called_name(call) in IMPORTING and isinstance(first, ast.Constant):
        return first.value if isinstance(first.value, str) else ""
    return ""


def _unfollowed_places(tree: ast.Module) -> Iterator[str]:
    """Name the places of a file that may load code which its imports do not name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = _called_name(node)
            if name in UNFOLLOWED or (name in IMPORTING and not _literal_import(node)):
                yield f"{node.lineno}: {name}"
        elif isinstance(node, ast.ImportFrom):  # calls under another name are not recognised
            renamed = (alias.name for alias in node.names if alias.asname)
            yield from (f"{node.lineno}: {n}" for n in renamed if n in IMPORTING | UNFOLLOWED)
        elif isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.path":
            yield f"{node.lineno}: sys.path"


def _called_name(call: ast.Call) -> str:
    function = call.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _top_names(body: Sequence[ast.AST]) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            yield from _target_names(node)
        else:  # such as the branches of `if` and `try`
            yield from _top_names(list(ast.iter_child_nodes(node)))


def _target_names(node: ast.Assign | ast.AnnAssign) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _literal_texts(node: ast.expr) -> Iterator[str]:
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.value

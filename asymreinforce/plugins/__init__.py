"""Plugins: a user's functions, named as `module:function` in the configuration.

Tasks, templates and graders may be plugins. Their code decides the output, so `plugin_identity`
enters identities: a hash of the code, and of the data that the module declares by `fingerprint()`.
"""

import hashlib
import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from asymreinforce.errors import ConfigError, InputError
from asymreinforce.plugins import code
from asymreinforce.progress import say

FINGERPRINT = "fingerprint"
"""The optional function of a plugin's module that identifies the data that the plugin reads."""
_WARNED: set[str] = set()


def is_plugin(name: str) -> bool:
    """Tell whether a setting names a plugin, that is, has the form `module:function`."""
    module, _, function = name.partition(":")
    return function.isidentifier() and all(part.isidentifier() for part in module.split("."))


def load_function(name: str) -> Callable[..., Any]:
    """Import the function that `module:function` names, from the path or the current directory.

    Raises `ConfigError` if the name has another form, or the module fails to import or has no such
    function.
    """
    if not is_plugin(name):
        raise ConfigError(f"{name!r} is not of the form module:function, as in my_tasks:questions")
    module_name, _, function_name = name.partition(":")
    if (directory := str(Path.cwd())) not in sys.path:
        # A user's module lies in the current directory, which a console script does not search.
        sys.path.append(directory)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # a user's module may fail in any way while it is imported
        raise ConfigError(
            f"{name}: module {module_name} does not import ({type(error).__name__}: {error}); "
            "it must be installed, or lie in the directory that the command runs in"
        ) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise ConfigError(f"{name}: module {module_name} has no function {function_name}")
    return function  # type: ignore[no-any-return]


def plugin_identity(name: str) -> str:
    """Return a hash of a plugin's code and declared data, for identities (16 hex digits).

    The code is the plugin's module and every module that it imports from outside the installed
    packages. The data is the return value of the module's `fingerprint()`; the module is imported
    only if it defines that function. Raises `ConfigError` if there is no such module, and
    `InputError` if `fingerprint` fails or returns no JSON value.
    """
    module = name.partition(":")[0]
    loaded = code.read_code(module)
    if loaded is None:
        raise ConfigError(
            f"{name}: there is no module {module}; it must lie on the Python path or in the "
            "directory that the command is started in"
        )
    parts: dict[str, Any] = {"code": loaded.sums}
    if FINGERPRINT in loaded.names:
        parts["data"] = _declared_data(module)
    elif loaded.unfollowed and name not in _WARNED:
        _WARNED.add(name)
        say(
            f"warning: {name}: {loaded.unfollowed[0]} may load code that is not part of the "
            "identity, so that changes of that code go unnoticed; use import statements, or define "
            f"fingerprint() in {module}"
        )
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _declared_data(module: str) -> Any:
    function = load_function(f"{module}:{FINGERPRINT}")
    try:
        value = function()
        json.dumps(value, allow_nan=False)
    except Exception as error:  # a user's function may fail in any way
        raise InputError(
            f"{module}:{FINGERPRINT} fails, or returns no JSON value "
            f"({type(error).__name__}: {error})"
        ) from error
    if value is None:
        raise InputError(
            f"{module}:{FINGERPRINT} returns None, which names no data; return a text or a number "
            "that changes with the data, such as a checksum"
        )
    return value

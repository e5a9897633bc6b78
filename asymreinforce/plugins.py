"""A user's own functions, named as `module:function` in the configuration."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from asymreinforce.errors import ConfigError


def is_plugin(name: str) -> bool:
    """Tell whether a setting has the form `module:function`, and so names a user's own."""
    module, _, function = name.partition(":")
    return function.isidentifier() and all(part.isidentifier() for part in module.split("."))


def load_function(name: str) -> Callable[..., Any]:
    """Import the function that `module:function` names, from the path or the current directory.

    Raises `ConfigError` where the name has another form, the module does not import or has no such
    function.
    """
    if not is_plugin(name):
        raise ConfigError(f"{name!r} is not of the form module:function, as in my_tasks:questions")
    module_name, _, function_name = name.partition(":")
    if (here := str(Path.cwd())) not in sys.path:
        # console scripts do not look there, and it is where a user's module lies
        sys.path.append(here)
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

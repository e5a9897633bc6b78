"""The command line, and its commands as Python functions: `import asymrl`.

A function's module is imported on first use, so that `asymrl --help` answers at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asymrl.api import curves as curves
    from asymrl.api import load as load
    from asymrl.api import load_arms as load_arms
    from asymrl.api import results as results
    from asymrl.api import rollouts as rollouts
    from asymrl.api import run_stage as run_stage
    from asymrl.api import run_sweep as run_sweep
    from asymrl.api import suites as suites
    from asymrl.api import summary as summary
    from asymrl.api import verdicts as verdicts
    from asymrl.api import write_report as write_report

__all__ = [
    "load",
    "load_arms",
    "run_stage",
    "run_sweep",
    "write_report",
    "results",
    "summary",
    "curves",
    "suites",
    "rollouts",
    "verdicts",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("asymrl.api"), name)

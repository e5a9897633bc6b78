"""Train: off-policy REINFORCE on stored rollouts, for one arm or several arms side by side.

    for every step:  read whole groups -> rewards -> A = r - V -> one optimizer step

Left out on purpose: importance weights, clipping of ratios, a KL term, training on samples of the
policy in training. A killed run continues from its last full checkpoint, bit for bit on CPU.

    loop.py         the loop over steps and arms, and one step of an arm
    active_arm.py   an arm in memory: the objects that its steps call
    objective.py    verdicts -> rewards -> advantages -> inputs of the optimizer step
    monitors.py     metrics, diagnostics, validation, collapse
    checkpoints.py  publish checkpoints, and restore an arm from a checkpoint
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from asymreinforce.stages.train.identity import arm_store
from asymreinforce.stages.train.warnings import warnings_on

if TYPE_CHECKING:
    from asymreinforce.stages.train.active_arm import Log, Training
    from asymreinforce.stages.train.loop import train, train_side_by_side
    from asymreinforce.stages.train.monitors import Validate

__all__ = [
    "Log",
    "Training",
    "Validate",
    "arm_store",
    "train",
    "train_side_by_side",
    "warnings_on",
]
MODULES = {
    "Log": "active_arm",
    "Training": "active_arm",
    "Validate": "monitors",
    "train": "loop",
    "train_side_by_side": "loop",
}


def __getattr__(name: str) -> Any:
    """Import the names of `MODULES` on first use."""
    # these modules import torch with its compiler, which a sweep that only names arms does not need
    if name not in MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{MODULES[name]}"), name)

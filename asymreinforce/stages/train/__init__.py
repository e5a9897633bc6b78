"""Train: off-policy REINFORCE on stored rollouts, one arm or several of one seed side by side.

    for every step:  read whole groups -> rewards -> A = r - V -> one optimizer step

Left out on purpose: importance weights, clipping of ratios, a KL term, sampling from the policy to
learn from. A killed run continues from its last full checkpoint, bit for bit on CPU.

    loop.py         the loop over steps and arms, and a step of an arm
    active_arm.py   an arm in memory: the objects that its steps call
    objective.py    verdicts -> rewards -> advantages -> what the optimizer step takes
    monitors.py     metrics, diagnostics, validation, collapse
    checkpoints.py  what is published, and where a run continues from
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
    """Import what trains when it is asked for: it takes all of torch's compiler along.

    To name an arm's directory, which is all that a sweep with nothing to do asks for, takes none.
    """
    if name not in MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{MODULES[name]}"), name)

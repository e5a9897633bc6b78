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

from asymreinforce.stages.train.active_arm import Log, Training
from asymreinforce.stages.train.identity import arm_store, warnings_on
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

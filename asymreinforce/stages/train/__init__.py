"""Train: off-policy REINFORCE on stored rollouts, one arm.

    for every step:  read whole groups -> rewards -> A = r - V -> one optimizer step

Left out on purpose: importance weights, clipping of ratios, a KL term, sampling from the policy to
learn from. A killed run continues from its last full checkpoint, bit for bit on CPU.
"""

from asymreinforce.stages.train.arm import Arm, Log, arm_store, train, train_together, warnings_on
from asymreinforce.stages.train.run import Validate

__all__ = ["Arm", "Log", "Validate", "arm_store", "train", "train_together", "warnings_on"]

"""An arm that is about to be trained: its settings, its inputs, and its store."""

from pathlib import Path
from typing import NamedTuple

from asymreinforce.config import ExperimentConfig
from asymreinforce.data.store import Store
from asymreinforce.experiment.inputs import Inputs, find_inputs


class OpenArm(NamedTuple):
    """The settings of an arm, its inputs, and its store, whether the arm is trained or not."""

    config: ExperimentConfig
    inputs: Inputs
    store: Store


def open_arm(config: ExperimentConfig) -> OpenArm:
    """Return an arm on inputs that exist; raises `InputError` that names a missing stage."""
    arm_inputs = find_inputs(config)
    return OpenArm(config, arm_inputs, arm_store(config, arm_inputs))


def arm_directory(config: ExperimentConfig) -> Path:
    """Return the directory that holds every arm of an experiment."""
    return config.directory / "train"


def arm_store(config: ExperimentConfig, arm_inputs: Inputs) -> Store:
    """Return the store of an arm, whether the arm is trained or not."""
    from asymreinforce.stages import train

    return train.arm_store(
        config,
        checkpoint=arm_inputs.checkpoint,
        scored=arm_inputs.scored,
        parent=arm_directory(config),
        prompts=arm_inputs.prompts,
    )

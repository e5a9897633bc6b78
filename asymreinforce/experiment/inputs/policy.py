"""Make or fetch the behaviour policy of an experiment, and check that it can be trained."""

import importlib.util
from pathlib import Path

from asymreinforce.config import ExperimentConfig
from asymreinforce.experiment.cleanup import remove_if_refused
from asymreinforce.experiment.inputs.stores import require_shards
from asymreinforce.model.checkpoint import require_whole_checkpoint
from asymreinforce.model.fingerprint import checkpoint_fingerprint
from asymreinforce.stages.init import CHECKPOINT, make_policy, policy_store


def prepare_policy(config: ExperimentConfig) -> Path:
    """Make or fetch the behaviour policy; raise `InputError` if it has no fingerprint."""
    parent = config.directory / "policy"
    with remove_if_refused(policy_store(config, parent)):
        checkpoint = make_policy(config, parent)
        checkpoint_fingerprint(checkpoint, safetensors_only=config.policy.safetensors_only)
    return checkpoint


def find_policy(config: ExperimentConfig, *, stage: str) -> Path:
    """Return the behaviour policy's checkpoint; raise `InputError` if its `stage` did not run."""
    parent = config.directory / "policy"
    if config.policy.source != "embedded":
        return make_policy(config, parent)
    policy = policy_store(config, parent)
    require_shards(policy, "behaviour policy", stage)
    return policy.path(CHECKPOINT)


def require_policy(config: ExperimentConfig, checkpoint: Path) -> None:
    """Raise if a checkpoint is not whole or training would refuse it, before it is sampled.

    Only headers and `config.json` are read. Nothing is checked without transformers.
    """
    # the embedded policy is known to train
    if config.policy.source == "embedded" or importlib.util.find_spec("transformers") is None:
        return
    from asymreinforce.update.trainable import require_trainable_checkpoint

    trusted = config.policy.trust_remote_code
    require_whole_checkpoint(checkpoint, trust_remote_code=trusted)
    require_trainable_checkpoint(checkpoint, config)

"""The identity of an arm: everything that determines its weights names its directory."""

from pathlib import Path
from typing import Any

from asymreinforce.algorithm.table import objective_identity
from asymreinforce.config import ExperimentConfig
from asymreinforce.data import contracts
from asymreinforce.data.determines import OF_A_REFERENCE, without_idle_baseline
from asymreinforce.data.rollouts import ScoredRollouts
from asymreinforce.data.store import Store
from asymreinforce.errors import ConfigError
from asymreinforce.grading.graders import identify
from asymreinforce.model.fingerprint import checkpoint_fingerprint
from asymreinforce.plugins import is_plugin, plugin_identity
from asymreinforce.rewards.scale import reward_identity
from asymreinforce.stages.train.schedule import PASSING, schedule_of


def arm_store(
    config: ExperimentConfig,
    *,
    checkpoint: Path,
    scored: ScoredRollouts,
    parent: Path,
    prompts: Store | None = None,
) -> Store:
    """Return the store of an arm, whose identity is everything that determines its weights.

    `prompts` hold the validation questions of imported rollouts. Raises `ConfigError` if the device
    or the precision is still "auto".
    """
    config = without_idle_baseline(config)
    if "auto" in (config.train.device, config.train.precision):
        raise ConfigError(
            "train.device=auto and train.precision=auto name no arm; resolve them first "
            "(model/devices.py), or set cpu or cuda, float32 or bfloat16"
        )
    determined_by = {
        "stage": "train",
        "contract": contracts.METRICS.label,
        "policy": checkpoint_fingerprint(
            checkpoint, safetensors_only=config.policy.safetensors_only
        ),
        **scored.fingerprint(),
        "samples_per_prompt": scored.samples,
        "baseline": config.baseline,
        "baseline_reference": config.baseline_reference,
        "seed": config.seed,
        "algorithm": objective_identity(
            config.algorithm, baseline_reference=config.baseline_reference
        ),
        "reward": reward_identity(config.reward),
        "optim": config.optim.identity | {"steps": config.steps},
        # settings that change no gradient are left out
        "train": config.train.model_dump(
            mode="json", exclude=set(config.train.beside_the_identity)
        ),
        "validation": (
            _validation(config, scored, prompts) if config.train.validation_prompts else None
        ),
    }
    if is_plugin(config.baseline_reference):
        determined_by["baseline_code"] = plugin_identity(config.baseline_reference)
    # a setting of one reference has no effect under another reference
    for setting, reference in OF_A_REFERENCE.items():
        if config.baseline_reference == reference:
            determined_by[setting] = getattr(config, setting)
    determined_by |= config.changing_baseline
    schedule = schedule_of(
        config,
        prompts=scored.prompts,
        prompts_per_step=scored.prompts_per_step(config.optim.trajectories_per_step),
    )
    # an arm with a single round is the same arm as without rounds
    if schedule.refresh_every:
        determined_by["refresh_every"] = schedule.refresh_every
        if config.replay.capacity:
            determined_by["replay"] = config.replay.model_dump(mode="json")
    return Store(parent, determined_by, passing=PASSING)


def _validation(
    config: ExperimentConfig, scored: ScoredRollouts, prompts: Store | None
) -> dict[str, Any]:
    """Return everything that determines the accuracy by which the best checkpoint is chosen."""
    identity: dict[str, Any] = config.evaluation.sampling.model_dump(mode="json")
    # the identity of generated rollouts covers prompts, template and grader of validation already
    if scored.is_imported and prompts:
        identity["prompts"] = prompts.fingerprint(["validation.parquet"])
        identity["prompt"] = config.task.rendering
        identity["grader"] = list(identify(config.task.grader))
        identity["limits"] = config.reward.limits
    return identity

"""An arm: its identity, and its training from wherever it stands."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from asymreinforce.algorithm.table import identity
from asymreinforce.config import ExperimentConfig
from asymreinforce.data import contracts, files
from asymreinforce.data.provenance import provenance
from asymreinforce.data.rollouts import ScoredRollouts
from asymreinforce.data.store import Store
from asymreinforce.policy.checkpoint import fingerprint
from asymreinforce.policy.ranks import ALONE, Ranks
from asymreinforce.progress import bar, say
from asymreinforce.stages.train.run import Run, Validate
from asymreinforce.stages.train.shared_store import SharedStore

Log = Callable[[dict[str, Any]], None]

REWARD_SCALE = ("correct", "incorrect", "correct_at", "no_answer", "truncated", "unjudged")
RANKS = {"processes", "nodes", "rendezvous", "sharding", "cpu_offload"}
"""Where an arm is trained: its bytes are promised for one process, its curve for any number."""
NOT_IN_IDENTITY = {"keep_checkpoints", "audit_rollouts", *RANKS}


def arm_store(
    config: ExperimentConfig, *, checkpoint: Path, scored: ScoredRollouts, parent: Path
) -> Store:
    """Return the store of an arm: everything that determines its weights is its identity."""
    determined_by = {
        "stage": "train",
        "contract": contracts.METRICS.label,
        "policy": fingerprint(checkpoint, safetensors_only=config.policy.safetensors_only),
        **scored.fingerprint(),
        "samples_per_prompt": scored.samples,
        "baseline": config.baseline,
        "baseline_reference": config.baseline_reference,
        "seed": config.seed,
        "algorithm": identity(config.algorithm, baseline_reference=config.baseline_reference),
        "reward": config.reward.model_dump(mode="json", include=set(REWARD_SCALE)),
        "optim": config.optim.model_dump(mode="json"),
        "train": config.train.model_dump(mode="json", exclude=NOT_IN_IDENTITY),
        "validation": config.evaluation.sampling.model_dump(mode="json")
        if config.train.validation_prompts
        else None,
    }
    return Store(parent, determined_by)


def train(
    config: ExperimentConfig,
    *,
    checkpoint: Path,
    scored: ScoredRollouts,
    store: Store,
    validate: Validate | None = None,
    log: Log | None = None,
    ranks: Ranks = ALONE,
) -> None:
    """Train one arm into its store; a complete one is left alone.

    Each of several `ranks` calls this with the same arguments, but for `validate` and `log`, which
    only the first one's are used.

    Raises `ConfigError` for a device or an objective that is not there, `InputError` for rollouts
    or weights that do not fit, `TrainingError` where a step is not finite: the last good checkpoint
    stays, and the message names it.
    """
    if ranks.count > 1:
        store = SharedStore(store, ranks)
    run = Run(
        config, checkpoint=checkpoint, scored=scored, store=store, validate=validate, ranks=ranks
    )
    steps = run.schedule.steps
    if not ranks.decided(lambda: store.facts.get("steps", steps) < steps):  # else it ended early
        store.plan(run.schedule.shards)
    if ranks.decided(store.is_complete):
        say(f"train: complete, nothing to do ({store.directory})")
        return
    for warning in warnings_on(config):
        say(f"warning: {warning}")
    started = time.monotonic()
    if ranks.is_first:
        files.publish_json(store.directory / "config.json", config.model_dump(mode="json"))
    start = run.restore()
    batches = scored.batches(prompts=run.prompts_per_step, seed=config.seed, start=start)
    label = f"train {config.algorithm.name} baseline={config.baseline:g} seed={config.seed}"
    try:
        with bar(label, total=run.schedule.steps, unit="steps", done=start) as advance:
            for step, rows in zip(range(start + 1, run.schedule.steps + 1), batches, strict=False):
                metrics = run.step(step, rows)
                if log:
                    log(metrics)
                advance(1)
                if run.has_ended:
                    break
    finally:
        seconds = time.monotonic() - started
        device = config.train.device
        store.record(provenance(seconds=seconds, from_step=start, device=device, ranks=ranks.count))
    run.finish()
    if run.collapse.state.step is not None:
        say(f"{label}: collapsed at step {run.collapse.state.step}: {run.collapse.state.reason}")


def warnings_on(config: ExperimentConfig) -> list[str]:
    """Return what a user should know of settings that are allowed and seldom meant."""
    if config.is_foreign:
        return []
    if config.sampling.samples_per_prompt == 1 and config.baseline_reference == "group_mean":
        return [
            "a group of one sample is its own mean, so every advantage is -baseline; raise "
            "sampling.samples_per_prompt or use another baseline_reference"
        ]
    return []

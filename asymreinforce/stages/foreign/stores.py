"""Where an import lies, named by what determines its bytes: file, mapping and tokenizer."""

from pathlib import Path
from typing import NamedTuple

from asymreinforce import tasks
from asymreinforce.config import ExperimentConfig
from asymreinforce.data import contracts
from asymreinforce.data.foreign.records import fingerprint
from asymreinforce.data.store import Store
from asymreinforce.policy.checkpoint import tokenizer_fingerprint

GRADER = "imported"
VERSION = "1"


class Stores(NamedTuple):
    """Where an import lies, made or not; verdicts are planned only where rewards came."""

    prompts: Store
    rollouts: Store
    verdicts: Store


def stores(config: ExperimentConfig, *, checkpoint: Path) -> Stores:
    """Name the stores of an import. What determines their bytes: file, mapping and tokenizer.

    Raises `InputError` where the task's own prompts are to evaluate, and are not on this machine.
    """
    settings = config.source.model_dump(mode="json", exclude={"path", "verdicts"})
    if not config.source.ignore:  # a set that was imported before the setting existed is the same
        del settings["ignore"]
    holds_back = config.source.validation and config.source.held_out
    common = {
        "source": {"files": fingerprint(config.source), **settings},
        "tokenizer": tokenizer_fingerprint(checkpoint),
        "prompt": config.task.rendering,
        "context": config.policy.context,
    }
    task = None if holds_back else [config.task.identity, tasks.fingerprints(config.task)]
    prompts = Store(
        config.directory / "prompts",
        {"stage": "prompts", "contract": contracts.PROMPTS.label, **common, "task": task},
        pinned=config.pins.prompts,
    )
    rollouts = Store(
        config.directory / "rollouts",
        {"stage": "rollouts", "contract": contracts.ROLLOUTS.label, **common},
        pinned=config.pins.rollouts,
    )
    verdicts = Store(
        config.directory / "verdicts",
        {
            "stage": "verdicts",
            "contract": contracts.VERDICTS.label,
            "rollouts": rollouts.hash,
            "grader": {"name": GRADER, "version": VERSION},
        },
    )
    return Stores(prompts, rollouts, verdicts)

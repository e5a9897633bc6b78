"""Where an import lies, named by what determines its bytes: file, mapping, tokenizer, ends."""

from pathlib import Path
from typing import Any, NamedTuple

from asymreinforce import tasks
from asymreinforce.config import ExperimentConfig
from asymreinforce.data import contracts
from asymreinforce.data.store import Store
from asymreinforce.imported.records import source_fingerprint
from asymreinforce.model import model_config
from asymreinforce.model.fingerprint import tokenizer_fingerprint

GRADER = "imported"
VERSION = "1"
READING = 3
"""Version of how records become rows: raise it with every change after which a file that was read
before gives other rows."""
ENCODING = 3
"""Of how imported prompts and texts become tokens; raise it when the tokens of a row change."""


SIZES = ("model_type", "vocab_size", "max_position_embeddings", "n_positions", "max_seq_len")
"""Of a configuration: what bounds token ids and the length of rows."""


class Stores(NamedTuple):
    """Where an import lies, made or not; verdicts are planned only where rewards came."""

    prompts: Store
    rollouts: Store
    verdicts: Store


def import_stores(config: ExperimentConfig, *, checkpoint: Path) -> Stores:
    """Name the stores of an import. What determines their bytes: file, mapping and tokenizer.

    Raises `InputError` where the task's own prompts are to evaluate, and are not on this machine.
    """
    settings = config.source.model_dump(mode="json", exclude={"path", "verdicts"})
    if not config.source.ignore:  # a set that was imported before the setting existed is the same
        del settings["ignore"]
    holds_back = config.source.validation and config.source.held_out
    common = {
        "source": {"files": source_fingerprint(config.source), **settings},
        "reading": READING,
        "tokenizer": tokenizer_fingerprint(checkpoint),
        "model": _declared_limits(checkpoint),
        "prompt": {**config.task.rendering, "version": ENCODING},
        "context": config.policy.context,
    }
    task = None if holds_back else [config.task.identity, tasks.task_fingerprints(config.task)]
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


def _declared_limits(checkpoint: Path) -> dict[str, Any]:
    """Return what a checkpoint's files say beside its tokenizer: its end tokens and its bounds."""
    if not (path := checkpoint / "config.json").exists():
        return {}
    values = model_config.text_part(model_config.read_object(path))
    sizes = {name: values[name] for name in SIZES if name in values}
    return {"end_tokens": model_config.declared_end_tokens(checkpoint), **sizes}

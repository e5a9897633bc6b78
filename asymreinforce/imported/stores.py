"""The stores of an import, whose names depend on file, columns, tokenizer and end tokens."""

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
"""Version of how records become rows: raise it if a change makes other rows of the same file."""
ENCODING = 3
"""Version of how prompts and texts become tokens: raise it if the tokens of a row change."""


SIZES = ("model_type", "vocab_size", "max_position_embeddings", "n_positions", "max_seq_len")
"""Keys of a model's configuration that bound token ids and the length of rows."""


class Stores(NamedTuple):
    """The stores of an import, which may be empty; verdicts exist only if rows have rewards."""

    prompts: Store
    rollouts: Store
    verdicts: Store


def import_stores(config: ExperimentConfig, *, checkpoint: Path) -> Stores:
    """Return the stores of an import, which may be empty.

    Raises `InputError` if the task's own prompts are evaluated and are not on this machine.
    """
    # the contents of the files count and not their path; verdicts are chosen after the import
    settings = config.source.model_dump(mode="json", exclude={"path", "verdicts"})
    if not config.source.ignore:  # keeps the names of imports from before this setting existed
        del settings["ignore"]
    holds_back = config.source.validation and config.source.held_out
    common = {
        "source": {"files": source_fingerprint(config.source), **settings},
        "reading": READING,
        # without `sampling`: groups have the sizes of the file
        "tokenizer": tokenizer_fingerprint(checkpoint),
        # checkpoints with the same tokenizer may declare other end tokens
        "model": _declared_limits(checkpoint),
        "prompt": {**config.task.rendering, "version": ENCODING},
        "context": config.policy.context,
    }
    # the task's own questions are used for a split only if no prompts are held back for it
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
    """Return the end tokens and size bounds in a checkpoint's `config.json`."""
    if not (path := checkpoint / "config.json").exists():
        return {}
    values = model_config.text_part(model_config.read_object(path))
    sizes = {name: values[name] for name in SIZES if name in values}
    return {"end_tokens": model_config.declared_end_tokens(checkpoint), **sizes}

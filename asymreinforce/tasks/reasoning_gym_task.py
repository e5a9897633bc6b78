"""Procedural tasks of reasoning-gym, each with its own `score_answer`."""

import json
from collections.abc import Iterator
from importlib import metadata
from typing import Any

from asymreinforce.config.task import SPLITS, TaskConfig
from asymreinforce.data.values import text_of
from asymreinforce.errors import ConfigError, InputError
from asymreinforce.tasks.question import Question, text_hash
from asymreinforce.tasks.world import name_at


def family_questions(config: TaskConfig, split: str) -> Iterator[Question]:
    """Yield the distinct questions of a family in a split, which a hash of the text decides.

    `metadata` keeps the entry, which the family's `score_answer` needs.
    """
    family = config.family or config.name
    seen: set[str] = set()
    sizes = {split: getattr(config, split) for split in SPLITS}
    # more than needed: questions repeat, and a hash decides the split of each
    size = 4 * sum(sizes.values())
    for entry in _create_dataset(config, family, size=size):
        text = text_of(entry["question"]) or ""
        digest = text_hash(text)
        # splits have shares in proportion to their sizes
        place = int(digest, 16) % sum(sizes.values())
        if text not in seen and name_at(place, sizes) == split:
            seen.add(text)
            yield Question(
                f"{family}-{digest}",
                text,
                text_of(entry["answer"]) or "",
                subject=family,
                metadata=json.dumps(
                    {"family": family, "params": config.params, "entry": entry},
                    sort_keys=True,
                    default=str,
                ),
            )


def library_fingerprint() -> dict[str, Any]:
    """Return the library's version, because versions may draw different questions for a seed.

    Raises `InputError` if the library is not installed.
    """
    try:
        return {"reasoning-gym": metadata.version("reasoning-gym")}
    except metadata.PackageNotFoundError as error:
        raise InputError(
            "task=reasoning_gym needs the library reasoning-gym; run 'pip install reasoning-gym'"
        ) from error


def _create_dataset(config: TaskConfig, family: str, *, size: int) -> Any:
    import reasoning_gym

    try:
        return reasoning_gym.create_dataset(family, seed=config.seed, size=size, **config.params)
    except (ValueError, TypeError, AssertionError) as error:
        raise ConfigError(
            f"task.name={family} with task.params={dict(config.params)}: {error}; "
            "reasoning-gym's gallery names its families and their settings"
        ) from error

"""Tasks: where prompts and gold answers come from."""

import itertools
from collections.abc import Callable, Iterator

from asymreinforce.config import Split, TaskConfig
from asymreinforce.errors import ConfigError
from asymreinforce.tasks.question import Question

Questions = Callable[[TaskConfig, str], Iterator[Question]]


def _cups(config: TaskConfig, split: str) -> Iterator[Question]:
    from asymreinforce.tasks import cups

    return cups.questions(config, split)


def _reasoning_gym(config: TaskConfig, split: str) -> Iterator[Question]:
    from asymreinforce.tasks import reasoning_gym_task

    return reasoning_gym_task.questions(config, split)


TASKS: dict[str, Questions] = {"cups": _cups, "reasoning_gym": _reasoning_gym}


def questions(config: TaskConfig, split: Split) -> list[Question]:
    """Return a split's questions, in a random order that the task's seed fixes.

    Raises `ConfigError` where the task is unknown or has fewer questions than asked for.
    """
    if config.name not in TASKS:
        raise ConfigError(f"task.name={config.name} is unknown; there are {', '.join(TASKS)}")
    count = {"train": config.train, "validation": config.validation, "held_out": config.held_out}
    found = list(itertools.islice(TASKS[config.name](config, split), count[split]))
    if len(found) < count[split]:
        raise ConfigError(
            f"task {config.name} has {len(found)} questions for {split}, not {count[split]}; "
            f"lower task.{split}"
        )
    return found


__all__ = ["TASKS", "Question", "questions"]

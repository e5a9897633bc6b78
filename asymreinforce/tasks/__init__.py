"""Tasks: the sources of questions and gold answers."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

from asymreinforce.config.task import SPLITS, Split, TaskConfig
from asymreinforce.errors import ConfigError
from asymreinforce.plugins import is_plugin
from asymreinforce.tasks import count, cups, dial
from asymreinforce.tasks.question import Question, TaskData
from asymreinforce.tasks.world import World

Questions = Callable[[TaskConfig, str], Iterator[Question]]

DATASET = "dataset"


WORLDS: dict[str, World[Any]] = {
    world.name: world for world in (cups.WORLD, dial.WORLD, count.WORLD)
}
"""The tasks on which the embedded policy can be warmed up."""


def _reasoning_gym(config: TaskConfig, split: str) -> Iterator[Question]:
    from asymreinforce.tasks import reasoning_gym_task

    return reasoning_gym_task.family_questions(config, split)


def _none(config: TaskConfig, split: str) -> Iterator[Question]:
    return iter(())


TASKS: dict[str, Questions] = {
    **{name: world.questions for name, world in WORLDS.items()},
    "reasoning_gym": _reasoning_gym,
    "imported": _none,  # the questions are imported with the rollouts
}
"""Tasks that generate as many questions as the settings ask for; data sets are not among them."""


def load_task_data(config: TaskConfig) -> TaskData:
    """Return the questions of all splits, each in a random order that the task's seed fixes.

    Raises `ConfigError` if the task is unknown or has fewer questions than the settings ask for,
    and `InputError` if data cannot be read.
    """
    if config.loader == DATASET:
        from asymreinforce.tasks import dataset

        return dataset.read_task_data(config)
    return TaskData({split: _take_questions(config, split) for split in SPLITS}, {})


def split_questions(config: TaskConfig, split: Split) -> list[Question]:
    """Return the questions of one split; for several, `load_task_data` reads a data set once."""
    if config.loader == DATASET:
        return load_task_data(config).questions[split]
    return _take_questions(config, split)


def task_fingerprints(config: TaskConfig) -> dict[str, Any]:
    """Return fingerprints of a task's data: checksums, hub commits, code, or a version.

    Raises `InputError` if a source is missing.
    """
    if config.loader == DATASET:
        from asymreinforce.tasks import dataset

        return dataset.dataset_fingerprints(config)
    if is_plugin(config.loader):
        from asymreinforce.tasks import user_task

        return user_task.user_fingerprints(config)
    if config.loader == "reasoning_gym":
        from asymreinforce.tasks import reasoning_gym_task

        return reasoning_gym_task.library_fingerprint()
    return WORLDS[config.loader].identity if config.loader in WORLDS else {}


def world_of(config: TaskConfig) -> World[Any]:
    """Return the embedded world of a task; the world "cups" if the task is not a world."""
    # with imported rollouts, the embedded policy is warmed up on cups
    return WORLDS.get(config.loader, cups.WORLD)


def _take_questions(config: TaskConfig, split: Split) -> list[Question]:
    count = getattr(config, split)
    questions = list(itertools.islice(_question_source(config)(config, split), count))
    if count is not None and len(questions) < count:
        raise ConfigError(
            f"task {config.name} has {len(questions)} questions for {split}, not {count}; "
            f"lower task.{split}"
        )
    return questions


def _question_source(config: TaskConfig) -> Questions:
    if is_plugin(config.loader):
        from asymreinforce.tasks import user_task

        return user_task.user_questions
    if config.loader not in TASKS:
        raise ConfigError(
            f"task {config.loader} is unknown; there are {', '.join([*TASKS, DATASET])} "
            "and your own, as task.kind=module:function"
        )
    if None in (config.train, config.validation, config.held_out):
        raise ConfigError(
            f"task {config.name} makes its questions, so it must be told how many: set task.train, "
            "task.validation and task.held_out"
        )
    return TASKS[config.loader]


__all__ = [
    "DATASET",
    "TASKS",
    "WORLDS",
    "TaskData",
    "Question",
    "load_task_data",
    "task_fingerprints",
    "split_questions",
    "world_of",
]

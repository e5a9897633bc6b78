"""Whether validation and evaluation have questions that the grader can judge, before arms train."""

from asymreinforce.config import ExperimentConfig, Split
from asymreinforce.data import contracts
from asymreinforce.data.store import Store
from asymreinforce.errors import InputError
from asymreinforce.grading.golds import require_usable

UNGRADED: dict[Split, str] = {
    "train": "evaluation.train_prompts=0 evaluates no training questions",
    "validation": "train.validation_prompts=0 chooses no checkpoint",
    "held_out": "evaluation.prompts=0 trains without evaluation",
}
"""How to go on without the questions of a split."""


def require_gradable(config: ExperimentConfig, prompts: Store) -> None:
    """Raise `InputError` if validation or evaluation could grade nothing, before anything trains.

    That is a split without a question, or whose gold answers the grader cannot use.
    """
    for split in config.graded_questions:
        require_gradable_split(config, prompts, split=split, without=UNGRADED[split])


def require_gradable_split(
    config: ExperimentConfig, prompts: Store, *, split: Split, without: str
) -> None:
    """Raise `InputError`, which ends in how to go on `without`, if nothing of a split is graded."""
    path = prompts.path(f"{split}.parquet")
    count = config.graded_questions[split]
    questions = contracts.read_table(path, contracts.PROMPTS).slice(0, count)
    if not len(questions):
        raise InputError(f"{path}: holds no prompt; {without}")
    try:
        require_usable(config.task.grader, [questions], where=path)
    except InputError as error:
        raise InputError(f"{error}; {without}") from None

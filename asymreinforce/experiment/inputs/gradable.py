"""Check before training that the grader can judge the validation and evaluation questions."""

from asymreinforce.config import ExperimentConfig, Split
from asymreinforce.data import contracts
from asymreinforce.data.store import Store
from asymreinforce.errors import InputError
from asymreinforce.grading.questions import require_usable

UNGRADED: dict[Split, str] = {
    "train": "evaluation.train_prompts=0 evaluates no training questions",
    "validation": "train.validation_prompts=0 chooses no checkpoint",
    "held_out": "evaluation.prompts=0 trains without evaluation",
}
"""For each split, the setting that goes on without the questions of that split."""


def require_gradable(config: ExperimentConfig, prompts: Store) -> None:
    """Raise `InputError` if nothing can be graded in a split of validation or evaluation.

    Such a split has no questions, or gold answers that the grader cannot use.
    """
    for split in config.graded_questions:
        require_gradable_split(config, prompts, split=split, without=UNGRADED[split])


def require_gradable_split(
    config: ExperimentConfig, prompts: Store, *, split: Split, without: str
) -> None:
    """Raise `InputError` if nothing of a split can be graded.

    The message ends with `without`, which says how to go on without the split.
    """
    path = prompts.path(f"{split}.parquet")
    count = config.graded_questions[split]
    questions = contracts.read_table(path, contracts.PROMPTS).slice(0, count)
    if not len(questions):
        raise InputError(f"{path}: holds no prompt; {without}")
    try:
        require_usable(config.task.grader, [questions], where=path)
    except InputError as error:
        raise InputError(f"{error}; {without}") from None

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
    for split, count in config.graded_questions.items():
        path = prompts.path(f"{split}.parquet")
        questions = contracts.read_table(path, contracts.PROMPTS).slice(0, count)
        if not len(questions):
            raise InputError(f"{path}: holds no prompt; {UNGRADED[split]}")
        try:
            require_usable(config.task.grader, [questions], where=path)
        except InputError as error:
            raise InputError(f"{error}; {UNGRADED[split]}") from None

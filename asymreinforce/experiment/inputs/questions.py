"""Write the prompts of a task and of suites, and check that the grader can judge the questions."""

import re

from asymreinforce.config import ExperimentConfig, Split
from asymreinforce.data import contracts
from asymreinforce.data.store import Store
from asymreinforce.errors import AsymreinforceError, InputError
from asymreinforce.experiment.cleanup import remove_if_refused
from asymreinforce.grading.questions import require_usable
from asymreinforce.stages.init import make_prompts, prompt_store

TASK = re.compile(r"(?<![\w.])task\.")
UNGRADED: dict[Split, str] = {
    "train": "evaluation.train_prompts=0 evaluates no training questions",
    "validation": "train.validation_prompts=0 chooses no checkpoint",
    "held_out": "evaluation.prompts=0 trains without evaluation",
}
"""For each split, the setting that goes on without the questions of that split."""


def prepare_prompts(config: ExperimentConfig, *, made_before: bool) -> Store:
    """Write the missing prompts of the task; return their store.

    `made_before`: use prompts that exist already if their data is not on this machine.
    """
    parent, pinned = config.directory / "prompts", config.pins.prompts
    store = prompt_store(config.task, parent, pinned=pinned, made_before=made_before)
    with remove_if_refused(store):
        return make_prompts(config.task, parent, pinned=pinned, made_before=made_before)


def require_gradable(config: ExperimentConfig, prompts: Store, *, without: str = "") -> None:
    """Raise `InputError` if nothing can be graded in a split of validation or evaluation.

    Such a split has no questions, or gold answers that the grader cannot use. The message ends with
    `without`, which says how to go on without the split; by default this is a setting.
    """
    for split, count in config.graded_questions.items():
        advice = without or UNGRADED[split]
        path = prompts.path(f"{split}.parquet")
        questions = contracts.read_table(path, contracts.PROMPTS).slice(0, count)
        if not len(questions):
            raise InputError(f"{path}: holds no prompt; {advice}")
        try:
            require_usable(config.task.grader, [questions], where=path)
        except InputError as error:
            raise InputError(f"{error}; {advice}") from None


def prepare_suites(config: ExperimentConfig) -> None:
    """Write the missing prompts of each suite, and check that its grader can judge them.

    A suite whose task has prompts already uses these prompts. An error of a suite is raised with
    the suite's name.
    """
    without = "leave the suite out of evaluation.suites, or take another split or grader"
    for name in config.evaluation.suites:
        suite = config.of_suite(name)
        try:
            require_gradable(suite, prepare_prompts(suite, made_before=True), without=without)
        except AsymreinforceError as error:
            own = f"evaluation.suites.{name}"
            # the advice names settings as `task.X`, which in a suite lie under the suite's name
            advice = TASK.sub(f"{own}.task.", f"{error}")
            raise type(error)(f"{own}: {advice}") from error

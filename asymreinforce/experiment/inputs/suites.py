"""Write the prompts of an evaluation's suites, next to the prompts of training."""

import re

from asymreinforce.config import ExperimentConfig
from asymreinforce.errors import AsymreinforceError
from asymreinforce.experiment.cleanup import remove_if_refused
from asymreinforce.experiment.inputs.gradable import require_gradable_split
from asymreinforce.stages.init import make_prompts, prompt_store

TASK = re.compile(r"(?<![\w.])task\.")


def prepare_suites(config: ExperimentConfig) -> None:
    """Write the missing prompts of each suite, and check that its grader can judge them.

    A suite whose task has prompts already uses these prompts. An error of a suite is raised with
    the suite's name.
    """
    for name in config.evaluation.suites:
        try:
            _prepare_suite(config.of_suite(name))
        except AsymreinforceError as error:
            own = f"evaluation.suites.{name}"
            # the advice names settings as `task.X`, which in a suite lie under the suite's name
            advice = TASK.sub(f"{own}.task.", f"{error}")
            raise type(error)(f"{own}: {advice}") from error


def _prepare_suite(config: ExperimentConfig) -> None:
    parent = config.directory / "prompts"
    with remove_if_refused(prompt_store(config.task, parent, made_before=True)):
        prompts = make_prompts(config.task, parent, made_before=True)
    split = config.evaluation.split
    without = "leave the suite out of evaluation.suites, or take another split or grader"
    require_gradable_split(config, prompts, split=split, without=without)

"""Plan the evaluations: which checkpoints, on which questions, in which store."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from asymreinforce.config import ExperimentConfig, SuiteConfig
from asymreinforce.config.task import Split
from asymreinforce.data.store import Store
from asymreinforce.experiment import inputs
from asymreinforce.experiment.arms import TrainedArm, arms_of
from asymreinforce.model.fingerprint import checkpoint_fingerprint
from asymreinforce.stages.evaluate import evaluation_store, shard_of


class EvaluatedStep(NamedTuple):
    """The place of the evaluation of an arm's step; step 0 is the behaviour policy mu."""

    arm: TrainedArm
    split: Split
    step: int
    store: Store
    shard: str
    config: ExperimentConfig
    """The arm's configuration, with the engine and evaluation settings of the command."""
    checkpoint: Path
    suite: str | None = None
    """The name of the suite; None for the main evaluation."""

    @property
    def path(self) -> Path:
        """The file of the evaluation."""
        return self.store.directory / self.shard


def why_not_evaluated(config: ExperimentConfig) -> str | None:
    """Return why the settings evaluate nothing and which settings would; None if they do."""
    if config.evaluated_splits:
        return None
    section = config.section_of_questions
    reason = (
        f"{section}.{config.evaluation.split}=0; {section}.{config.evaluation.split}=N holds "
        "questions back, and needs their gold answers"
    )
    if config.evaluation.prompts == 0:
        reason = "evaluation.prompts=0 (null: all questions of evaluation.split)"
    if config.evaluation.suites:
        reason += (
            "; evaluation.suites are evaluated only in addition to evaluation.split; make one of "
            "them the main evaluation (as in task=math500, if the rollouts are imported)"
        )
    return reason


def plan_evaluation(config: ExperimentConfig) -> list[EvaluatedStep]:
    """Return the place of the evaluation of every checkpoint on disk.

    The engine and evaluation settings come from `config`, all other settings from each arm. A
    suite is evaluated as if it were the arm's task; the suite's prompts exist.
    """
    evaluations: list[EvaluatedStep] = []
    prompts_of: dict[str, Store] = {}
    for arm in arms_of(config.directory):
        settings = arm.config.model_copy(
            update={"evaluation": config.evaluation, "engine": config.engine}
        )
        checkpoint, prompts = inputs.find_init(settings)
        only = settings.policy.safetensors_only
        # fingerprinted once: the main evaluation and all suites share an arm's checkpoints
        steps = {
            step: (path, shard_of(checkpoint_fingerprint(path, safetensors_only=only)))
            for step, path in ({0: checkpoint} | arm.checkpoints).items()
        }
        evaluations += _steps_on(settings, prompts, arm, steps)
        for name, suite in config.evaluation.suites.items():
            own = settings.of_suite(name)
            if name not in prompts_of:  # all arms have the same suites: hash a suite's data once
                prompts_of[name] = inputs.find_init(own)[1]
            wanted = _steps_of_suite(suite, arm)
            kept = {step: steps[step] for step in steps if step in wanted}
            evaluations += _steps_on(own, prompts_of[name], arm, kept, suite=name)
    return evaluations


def _steps_on(
    config: ExperimentConfig,
    prompts: Store,
    arm: TrainedArm,
    steps: Mapping[int, tuple[Path, str]],
    *,
    suite: str | None = None,
) -> Iterator[EvaluatedStep]:
    """Yield the place of the evaluation of each of an arm's steps on each evaluated split.

    `steps` maps a step to its checkpoint and the name of its shard.
    """
    for split, store in stores_of(config, prompts=prompts).items():
        for step, (path, shard) in steps.items():
            yield EvaluatedStep(arm, split, step, store, shard, config, path, suite)


def _steps_of_suite(suite: SuiteConfig, arm: TrainedArm) -> set[int]:
    """Return the steps at which an arm is evaluated on a suite; step 0 is mu.

    Unless `checkpoints` is "all", these are step 0, the best and the last step.
    """
    if suite.checkpoints == "all":
        return {0, *arm.checkpoints}
    return {0, int(arm.store.facts.get("best_step") or 0), arm.last_step}


def stores_of(config: ExperimentConfig, *, prompts: Store) -> dict[Split, Store]:
    """Return the store of the evaluations for each evaluated split."""
    parent = config.directory / "evaluations"
    return {
        split: evaluation_store(config, split=split, prompts=prompts, parent=parent)
        for split in config.evaluated_splits
    }

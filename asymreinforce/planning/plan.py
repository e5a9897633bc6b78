"""What a sweep would take: prompts, completions, tokens, steps, memory, disk and GPU-hours.

Arithmetic on the configuration alone: no network, no GPU, no file but a local `config.json`, whose
architecture is asked whether it can be trained.
What the configuration does not say is None, and is shown as unknown. `gpus.py` says what a GPU does
of it. An arm that is refreshed draws, after the round on the shared set, the whole groups that the
steps of each later round read.
"""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from asymreinforce.config import ExperimentConfig
from asymreinforce.config.task import Split
from asymreinforce.data import determines
from asymreinforce.experiment.inputs import require_graders, rollout_source
from asymreinforce.experiment.slots import at_once
from asymreinforce.planning.gpus import (
    DTYPE_BYTES,
    GenerationCost,
    TrainingCost,
    generation,
    training,
)
from asymreinforce.planning.shape import shape_of
from asymreinforce.planning.suites import SuiteCost, prompts_of, suite_costs
from asymreinforce.planning.training_memory import FP32
from asymreinforce.stages.train.schedule import Schedule, schedule_of

ROW_BYTES = 12
"""A completion token's on disk: its id, its log-probability, and its text, before compression."""


class Plan(NamedTuple):
    """What a sweep takes; None is unknown."""

    config: ExperimentConfig
    arms: int
    sets: int
    """Sets of rollouts that the arms need; one serves all arms that differ in training alone."""
    prompts: dict[Split, int | None]
    completions: int | None
    """Of one set."""
    rounds: int | None
    """Of an arm; the first is on the shared set."""
    refreshed: int | None
    """Completions of all later rounds of all arms."""
    completion_tokens: int
    """Of one completion: the mean that was given, or the longest."""
    steps: int | None
    checkpoints: int | None
    """Kept of one arm."""
    evaluated: int | None
    """Completions that evaluate all arms' checkpoints, and mu once."""
    parameters: int | None
    generation: GenerationCost | None
    training: TrainingCost | None
    suites: tuple[SuiteCost, ...] = ()
    """What the suites take beside the main evaluation."""

    @property
    def drawn(self) -> int | None:
        """Completions of all sets and of all rounds."""
        return _known_sum(_known_product(self.completions, self.sets), self.refreshed)

    @property
    def graders(self) -> int:
        """Graders that judge each rollout: the task's, and further ones of `reward.graders`."""
        return len({self.config.task.grader, *self.config.reward.graders})

    @property
    def rollout_tokens(self) -> int | None:
        """Completion tokens of a set."""
        return None if self.completions is None else self.completions * self.completion_tokens

    @property
    def trained_tokens(self) -> int | None:
        """Tokens of one arm's steps, those of the prompts counted with each completion."""
        if self.steps is None:
            return None
        sequences = self.steps * self.config.optim.trajectories_per_step
        return sequences * (self.config.plan.prompt_tokens + self.completion_tokens)

    @property
    def gpu_hours(self) -> dict[str, float | None]:
        """GPU-hours by stage, all sets and arms together."""
        generate, train = self.generation, self.training
        speed = generate.tokens_per_s * 3600 if generate else None
        drawn = _known_product(self.drawn, self.completion_tokens)
        evaluated = _known_product(self.evaluated, self.completion_tokens)
        for suite in self.suites:
            evaluated = _known_sum(evaluated, suite.tokens)
        return {
            "generate": _known_ratio(drawn, speed),
            "train": _known_ratio(
                _known_product(self.trained_tokens, self.arms),
                train.tokens_per_s * 3600 if train else None,
            ),
            "evaluate": _known_ratio(evaluated, speed),
        }

    @property
    def arms_at_once(self) -> int:
        """Arms that train at the same time on a machine of `plan.gpus`; 0 if one needs more."""
        train = self.config.train
        slots = at_once(self.config.plan.gpus, each=train.processes)
        allowed = self.config.sweep.workers or slots
        return min(slots, allowed, self.arms if train.nodes == 1 else 1)

    @property
    def training_hours(self) -> float | None:
        """Hours by the clock until the last arm is trained, where as many run at once as can."""
        ranks = self.config.train.processes * self.config.train.nodes
        hours = _known_ratio(self.gpu_hours["train"], self.arms * ranks)
        return hours * -(-self.arms // self.arms_at_once) if hours and self.arms_at_once else None

    @property
    def score_hours(self) -> float | None:
        """Hours of `plan.cores` cores that judge every completion, evaluations included."""
        plan = self.config.plan
        judged = _known_sum(_known_product(self.drawn, self.graders), self.evaluated)
        for suite in self.suites:
            judged = _known_sum(judged, suite.completions)
        return _known_ratio(judged, plan.score_per_core_s * plan.cores * 3600)

    @property
    def rollout_bytes(self) -> int | None:
        """Disk for all rollouts, at most."""
        row = ROW_BYTES * self.completion_tokens + 4 * self.config.plan.prompt_tokens
        return _known_product(self.drawn, row)

    @property
    def checkpoint_bytes(self) -> int | None:
        """Disk for all arms' weights, in the precision of training.

        A checkpoint beside adapters holds the merged weights, which any engine loads, and the
        adapters in fp32.
        """
        train = self.config.train
        if self.parameters is None or self.checkpoints is None or self.training is None:
            return None
        adapters = FP32 * self.training.trained if train.lora.rank else 0
        each = DTYPE_BYTES[train.precision] * self.parameters + adapters
        return self.arms * self.checkpoints * each

    @property
    def state_bytes(self) -> int | None:
        """Disk for the rest of the full state of an arm at work: of its last and its best step."""
        train = self.config.train
        if self.training is None:
            return None
        # checkpoints in bf16 leave the fp32 weights to the state
        masters = train.precision == "bfloat16" and not train.lora.rank
        each = (2 * FP32 + FP32 * masters) * self.training.trained
        return each * (2 if train.validation_prompts else 1)

    @property
    def arms_bytes(self) -> int | None:
        """Disk for all arms at most: their weights, and states, of one arm if they are dropped."""
        is_kept = self.config.train.keep_state
        return _known_sum(
            self.checkpoint_bytes, _known_product(self.state_bytes, self.arms if is_kept else 1)
        )


def plan(arms: Sequence[ExperimentConfig]) -> Plan:
    """Plan the arms of a sweep, the first of which speaks for what they share.

    Raises `ConfigError` if training would refuse a local checkpoint's architecture.
    """
    config = arms[0]
    rollout_source(config).require_generated(
        "a plan is of rollouts that are to be generated; 'asymrl import' says what imported ones "
        "hold"
    )
    _require_trainable(arms)
    for arm in arms:
        require_graders(arm)
    prompts = prompts_of(config.task)
    train = prompts["train"]
    schedule = _known_schedule(config, train)
    shape = shape_of(config.policy)
    parameters = config.policy.parameters or (shape.parameters if shape else None)
    completion = config.plan.completion_tokens or config.sampling.max_tokens
    checkpoints = len(schedule.kept) if schedule else None
    return Plan(
        config=config,
        arms=len(arms),
        sets=len({determines.key_of(arm, determines.ROLLOUTS) for arm in arms}),
        prompts=prompts,
        completions=_known_product(train, config.sampling.samples_per_prompt),
        rounds=len(schedule.starts) if schedule else None,
        refreshed=_refreshed_completions(arms, train),
        completion_tokens=min(completion, config.sampling.max_tokens),
        steps=schedule.steps if schedule else None,
        checkpoints=checkpoints,
        evaluated=_evaluated_completions(
            config, prompts, models=_known_sum(_known_product(checkpoints, len(arms)), 1)
        ),
        parameters=parameters,
        generation=generation(config, shape, parameters, completion) if parameters else None,
        training=training(config, shape, parameters) if parameters else None,
        suites=suite_costs(config, arms=len(arms), checkpoints=checkpoints),
    )


def _require_trainable(arms: Sequence[ExperimentConfig]) -> None:
    """Ask of each policy and kind of adapter that `config.json` tells of whether it trains."""
    distinct = {(arm.policy, arm.train.lora): arm for arm in arms}
    for arm in distinct.values():
        checkpoint = Path(arm.policy.source)
        if (checkpoint / "config.json").exists() and importlib.util.find_spec("torch"):
            from asymreinforce.update.trainable import require_trainable_checkpoint

            require_trainable_checkpoint(checkpoint, arm)


def _known_schedule(config: ExperimentConfig, prompts: int | None) -> Schedule | None:
    if prompts is None and config.steps is None:
        return None
    return schedule_of(config, prompts=prompts or 0)


def _refreshed_completions(arms: Sequence[ExperimentConfig], prompts: int | None) -> int | None:
    """Count what arms draw of their own: each later round's prompts, once each."""
    total: int | None = 0
    for arm in arms:
        schedule = _known_schedule(arm, prompts)
        if schedule is None:
            return None
        every = schedule.refresh_every or schedule.steps
        for start in schedule.starts[1:]:
            steps = min(every, schedule.steps - start)
            read = steps * arm.fresh_prompts_per_step
            drawn_prompts = read if prompts is None else min(read, prompts)
            total = _known_sum(total, drawn_prompts * arm.sampling.samples_per_prompt)
    return total


def _evaluated_completions(
    config: ExperimentConfig, prompts: dict[Split, int | None], *, models: int | None
) -> int | None:
    available, settings = prompts[config.evaluation.split], config.evaluation
    limit = (
        available
        if settings.prompts is None
        else min(settings.prompts, available or settings.prompts)
    )
    each = _known_product(
        _known_sum(limit, settings.train_prompts), settings.sampling.samples_per_prompt
    )
    return _known_product(each, models)


def _known_product(left: int | None, right: int | None) -> int | None:
    return None if left is None or right is None else left * right


def _known_sum(left: int | None, right: int | None) -> int | None:
    return None if left is None or right is None else left + right


def _known_ratio(left: float | None, right: float | None) -> float | None:
    return left / right if left is not None and right else None

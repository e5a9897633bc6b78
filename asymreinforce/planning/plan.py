"""Estimate the cost of a sweep: prompts, completions, tokens, steps, memory, disk, GPU-hours.

The estimate uses only the configuration and, if the policy is a local checkpoint, its
`config.json`: no network and no GPU. A number that the configuration leaves open is None, and is
shown as unknown. `gpus.py` estimates memory and speed. If mu is refreshed, an arm draws for each
round after the first the whole groups that the steps of the round read.
"""

import importlib.util
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from asymreinforce.config import ExperimentConfig
from asymreinforce.config.task import Split
from asymreinforce.data import determines
from asymreinforce.experiment.inputs import require_generated, require_graders
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
"""Bytes on disk of a completion token: id, log-probability and text, before compression."""


class Plan(NamedTuple):
    """The estimated cost of a sweep; None means unknown."""

    config: ExperimentConfig
    arms: int
    sets: int
    """Sets of rollouts; arms that differ only in training share a set."""
    prompts: dict[Split, int | None]
    completions: int | None
    """Completions of one set."""
    rounds: int | None
    """Rounds of an arm; the first round uses the shared set."""
    refreshed: int | None
    """Completions of all later rounds of all arms."""
    completion_tokens: int
    """Tokens of one completion: the mean from the settings, or the maximum."""
    steps: int | None
    checkpoints: int | None
    """Checkpoints that one arm keeps."""
    evaluated: int | None
    """Completions to evaluate the checkpoints of all arms, and mu once."""
    parameters: int | None
    generation: GenerationCost | None
    training: TrainingCost | None
    suites: tuple[SuiteCost, ...] = ()
    """The cost of the suites beside the main evaluation."""

    @property
    def drawn(self) -> int | None:
        """Completions of all sets and all later rounds."""
        return _known_sum(_known_product(self.completions, self.sets), self.refreshed)

    @property
    def graders(self) -> int:
        """The number of graders of each rollout: the task's, and others of `reward.graders`."""
        return len({self.config.task.grader, *self.config.reward.graders})

    @property
    def rollout_tokens(self) -> int | None:
        """Completion tokens of one set."""
        return _known_product(self.completions, self.completion_tokens)

    @property
    def trained_tokens(self) -> int | None:
        """Tokens in the steps of one arm; prompt tokens count once per completion."""
        tokens = self.config.plan.prompt_tokens + self.completion_tokens
        return _known_product(self.steps, self.config.optim.trajectories_per_step, tokens)

    @property
    def gpu_hours(self) -> dict[str, float | None]:
        """GPU-hours of each stage, for all sets and arms."""
        generate, train = self.generation, self.training
        speed = generate.tokens_per_s * 3600 if generate else None
        drawn = _known_product(self.drawn, self.completion_tokens)
        trained = _known_product(self.trained_tokens, self.arms)
        evaluated = _known_product(self.evaluated, self.completion_tokens)
        of_suites = (suite.tokens for suite in self.suites)
        return {
            "generate": _known_ratio(drawn, speed),
            "train": _known_ratio(trained, train.tokens_per_s * 3600 if train else None),
            "evaluate": _known_ratio(_known_sum(evaluated, *of_suites), speed),
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
        """Wall-clock hours of training, with `arms_at_once` arms at a time."""
        ranks = self.config.train.processes * self.config.train.nodes
        hours = _known_ratio(self.gpu_hours["train"], self.arms * ranks)
        return hours * -(-self.arms // self.arms_at_once) if hours and self.arms_at_once else None

    @property
    def score_hours(self) -> float | None:
        """Hours in which `plan.cores` cores grade all completions, including evaluations."""
        plan = self.config.plan
        drawn = _known_product(self.drawn, self.graders)
        judged = _known_sum(drawn, self.evaluated, *(suite.completions for suite in self.suites))
        return _known_ratio(judged, plan.score_per_core_s * plan.cores * 3600)

    @property
    def rollout_bytes(self) -> int | None:
        """The most bytes on disk for all rollouts."""
        row = ROW_BYTES * self.completion_tokens + 4 * self.config.plan.prompt_tokens
        return _known_product(self.drawn, row)

    @property
    def checkpoint_bytes(self) -> int | None:
        """Bytes on disk for the weights of all arms, in the precision of training.

        With adapters, a checkpoint holds the merged weights, which any engine loads, and the
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
        """Bytes on disk for a running arm's optimizer state, of its last and its best step."""
        train = self.config.train
        if self.training is None:
            return None
        # checkpoints in bf16 lack the fp32 weights, so the state holds them
        masters = train.precision == "bfloat16" and not train.lora.rank
        each = (2 * FP32 + FP32 * masters) * self.training.trained
        return each * (2 if train.validation_prompts else 1)

    @property
    def arms_bytes(self) -> int | None:
        """The most bytes on disk for all arms; only one arm has a state unless states are kept."""
        is_kept = self.config.train.keep_state
        return _known_sum(
            self.checkpoint_bytes, _known_product(self.state_bytes, self.arms if is_kept else 1)
        )


def plan(arms: Sequence[ExperimentConfig]) -> Plan:
    """Estimate the cost of a sweep; settings that arms share are read from the first arm.

    Raises `ConfigError` if training would refuse a local checkpoint's architecture.
    """
    config = arms[0]
    require_generated(
        config,
        "a plan is for rollouts that will be generated; 'asymrl import' describes imported "
        "rollouts",
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
            # plus 1: all arms share one evaluation of mu
            config,
            prompts,
            models=_known_sum(_known_product(checkpoints, len(arms)), 1),
        ),
        parameters=parameters,
        generation=generation(config, shape, parameters, completion) if parameters else None,
        training=training(config, shape, parameters) if parameters else None,
        suites=suite_costs(config, arms=len(arms), checkpoints=checkpoints),
    )


def _require_trainable(arms: Sequence[ExperimentConfig]) -> None:
    """Check that each local policy can be trained, with its adapters, by its `config.json`."""
    distinct = {(arm.policy, arm.train.lora): arm for arm in arms}
    for arm in distinct.values():
        checkpoint = Path(arm.policy.source)
        # a plan needs no torch, and then leaves out this check
        if (checkpoint / "config.json").exists() and importlib.util.find_spec("torch"):
            from asymreinforce.update.trainable import require_trainable_checkpoint

            require_trainable_checkpoint(checkpoint, arm)


def _known_schedule(config: ExperimentConfig, prompts: int | None) -> Schedule | None:
    if prompts is None and config.steps is None:
        return None
    return schedule_of(config, prompts=prompts or 0)


def _refreshed_completions(arms: Sequence[ExperimentConfig], prompts: int | None) -> int | None:
    """Count the completions of later rounds over all arms; each round draws a prompt once."""
    total: int | None = 0
    for arm in arms:
        schedule = _known_schedule(arm, prompts)
        if schedule is None:
            return None
        every = schedule.refresh_every or schedule.steps
        for start in schedule.starts[1:]:  # the first round reads the shared set
            steps = min(every, schedule.steps - start)
            read = steps * arm.fresh_prompts_per_step
            # a round draws each prompt once, even if its steps read the prompt again
            drawn_prompts = read if prompts is None else min(read, prompts)
            total = _known_sum(total, drawn_prompts * arm.sampling.samples_per_prompt)
    return total


def _evaluated_completions(
    config: ExperimentConfig, prompts: dict[Split, int | None], *, models: int | None
) -> int | None:
    available, settings = prompts[config.evaluation.split], config.evaluation
    limit = available
    if settings.prompts is not None:
        limit = min(settings.prompts, available or settings.prompts)
    prompts_of_a_model = _known_sum(limit, settings.train_prompts)
    return _known_product(prompts_of_a_model, settings.sampling.samples_per_prompt, models)


def _known_product(*factors: int | None) -> int | None:
    known = [factor for factor in factors if factor is not None]
    return math.prod(known) if len(known) == len(factors) else None


def _known_sum(*terms: int | None) -> int | None:
    known = [term for term in terms if term is not None]
    return sum(known) if len(known) == len(terms) else None


def _known_ratio(left: float | None, right: float | None) -> float | None:
    return left / right if left is not None and right else None

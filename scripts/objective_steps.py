"""Sequences with rewards, and the loss inputs of any objective and reference for them.

Shapes: B sequences of the step, C completion tokens of all sequences end to end.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import yaml
from torch import Tensor

from asymreinforce.algorithm.kinds import Objective
from asymreinforce.algorithm.table import objective_of
from asymreinforce.config import AlgorithmConfig
from asymreinforce.stages.train.objective import make_loss_inputs
from asymreinforce.update.loss_inputs import LossInputs, score_step
from asymreinforce.update.packing import Sequences
from asymreinforce.update.trainer import Trainer

PRESETS = Path(__file__).resolve().parents[1] / "conf" / "algorithm"
BASELINE = -0.1
NOISE = 0.1
"""Standard deviation of log mu - log pi of a token."""


class Method(NamedTuple):
    """An objective with its options, reference and baseline."""

    name: str
    reference: str = "group_mean"
    baseline: float = BASELINE
    options: dict[str, Any] = {}  # noqa: RUF012

    @property
    def objective(self) -> Objective:
        """The objective with its options."""
        config = AlgorithmConfig(name=self.name, **self.options)
        return objective_of(config, baseline_reference=self.reference)


class Step(NamedTuple):
    """The sequences of a step with rewards of 1 and -1, groups, and log mu of each token."""

    sequences: Sequences
    rewards_B: Tensor
    groups_B: Tensor
    behaviour_logps: list[np.ndarray]

    @property
    def lengths_B(self) -> Tensor:
        """The number of completion tokens of each sequence."""
        return torch.tensor([len(tokens) for tokens in self.sequences.completions])


def make_step(trainer: Trainer, sequences: Sequences, *, group_size: int) -> Step:
    """Draw rewards, two of five correct, and a mu near the trainer's policy, from a fixed seed."""
    generator = np.random.default_rng(2)
    count = len(sequences.completions)
    rewards_B = torch.from_numpy(np.where(generator.random(count) < 0.4, 1.0, -1.0))
    unknown = [np.zeros(len(tokens)) for tokens in sequences.completions]
    logps_C, _ = score_step(trainer, sequences, unknown)
    noisy_C = logps_C.numpy() + NOISE * generator.normal(size=len(logps_C))
    ends = np.cumsum([len(tokens) for tokens in unknown])
    groups_B = torch.arange(count) // group_size
    return Step(sequences, rewards_B, groups_B, np.split(noisy_C, ends[:-1]))


def loss_inputs(method: Method, step: Step) -> LossInputs:
    """Return the loss inputs of a method's step; every sequence has weight 1."""
    objective, correct_B = method.objective, step.rewards_B > 0

    def advantages_at(log_weights_B: Tensor) -> Tensor:
        return objective.advantages(
            step.rewards_B,
            step.groups_B,
            correct_B=correct_B,
            baseline=method.baseline,
            reference_name=method.reference,
            lengths_B=step.lengths_B,
            log_weights_B=log_weights_B,
        )

    return make_loss_inputs(
        objective,
        advantages_at(torch.zeros_like(step.rewards_B)),
        advantages_at,
        correct_B=correct_B,
        groups_B=step.groups_B,
        weights_B=torch.ones_like(step.rewards_B),
        behaviour_logps=step.behaviour_logps,
    )


def preset_methods() -> dict[str, Method]:
    """Return the method of each preset of `conf/algorithm` that needs no function of a user."""
    methods = {}
    for path in sorted(PRESETS.glob("*.yaml")):
        preset = yaml.safe_load(path.read_text(encoding="utf-8"))
        options = preset.get("algorithm", preset)
        if "function" in options:
            continue
        methods[path.stem] = Method(
            options["name"],
            preset.get("baseline_reference", "group_mean"),
            preset.get("baseline", BASELINE),
            {key: value for key, value in options.items() if key != "name"},
        )
    return methods

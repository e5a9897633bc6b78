"""Time one optimizer step of each objective, on the same sequences, on one CPU thread.

    python scripts/bench_objectives.py [--json figures.json] [--repeats 9]

The sequences, model and optimizer are those of `bench_training_step.py`, in groups of 8 with two
correct samples of five; mu is pi with noise of 0.1 per token. Ways are measured in turns in one
process. A ratio is the median over rounds of a way's CPU time divided by AsymRE's in the same
round. The measured time includes the inputs of a step, from advantages to coefficients.
"""

import argparse
import copy
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
import workloads
from measures import in_turns, median, report, table
from torch import Tensor
from workloads import JUDGED, SMALL, Optimizer, Workload, log_normal_lengths, workload

from asymreinforce.algorithm.kinds import Linear, Objective, WholeStep
from asymreinforce.algorithm.table import objective_of
from asymreinforce.algorithm.tokens import TokenLogps
from asymreinforce.config import AlgorithmConfig
from asymreinforce.update.loss_inputs import LossInputs, RatioInputs, StepInputs, score_step
from asymreinforce.update.trainer import Trainer

GROUP_SIZE = 8
BASELINE = -0.1
ASYMRE = "asymre"


class Way(NamedTuple):
    """An objective with its options and reference."""

    name: str
    reference: str = "group_mean"
    baseline: float = BASELINE
    options: dict[str, float] = {}  # noqa: RUF012


WAYS = {
    ASYMRE: Way("asymre"),
    "asymmetric, as asymre": Way("asymmetric"),
    "asymmetric, w- = 0.1": Way("asymmetric", options={"negative_weight": 0.1}),
    "asymmetric, positives only": Way("asymmetric", "zero", 0.0, {"negative_weight": 0.0}),
    "asymmetric, negatives only": Way("asymmetric", "zero", 0.0, {"positive_weight": 0.0}),
    "grpo": Way("grpo"),
    "m2po": Way("m2po"),
    "dpo": Way("dpo"),
    "tis, minimum_variance": Way("tis", "minimum_variance"),
}


class Step(NamedTuple):
    """The sequences of a step and the inputs of an objective."""

    work: Workload
    rewards_B: Tensor
    groups_B: Tensor
    behaviour_logps: list[np.ndarray]

    @property
    def lengths_B(self) -> Tensor:
        """Return the number of completion tokens of each sequence."""
        return torch.tensor([len(tokens) for tokens in self.work.sequences.completions])


def make_step(trainer: Trainer, *, sequences: int) -> Step:
    """Draw sequences, rewards of 1 and -1, and a mu near pi."""
    work = workload(log_normal_lengths(sequences), vocabulary=64)
    generator = np.random.default_rng(2)
    rewards_B = torch.from_numpy(np.where(generator.random(sequences) < 0.4, 1.0, -1.0))
    unknown = [np.zeros(len(tokens)) for tokens in work.sequences.completions]
    logps_C, _ = score_step(trainer, work.sequences, unknown)
    noisy_C = logps_C.numpy() + 0.1 * generator.normal(size=len(logps_C))
    ends = np.cumsum([len(tokens) for tokens in unknown])
    groups_B = torch.arange(sequences) // GROUP_SIZE
    return Step(work, rewards_B, groups_B, np.split(noisy_C, ends[:-1]))


def inputs_of(way: Way, objective: Objective, step: Step) -> LossInputs:
    """Return the loss inputs as the train stage makes them."""
    correct_B, weights_B = step.rewards_B > 0, torch.ones_like(step.rewards_B)

    def advantages_at(log_weights_B: Tensor) -> Tensor:
        return objective.advantages(
            step.rewards_B,
            step.groups_B,
            correct_B=correct_B,
            baseline=way.baseline,
            reference_name=way.reference,
            lengths_B=step.lengths_B,
            log_weights_B=log_weights_B,
        )

    def loss(logps_C: Tensor, behaviour_logps_C: Tensor, sequence_of_C: Tensor) -> Tensor:
        tokens = TokenLogps(
            logps_C, behaviour_logps_C, step.rewards_B, sequence_of_C, step.groups_B, correct_B
        )
        advantages_B = advantages_at(tokens.log_ratio_B.detach())
        return objective.loss(tokens._replace(advantages_B=advantages_B), weights_B)

    if isinstance(objective, WholeStep) or objective.follows_policy:
        return StepInputs(loss, step.behaviour_logps)
    advantages_B = advantages_at(torch.zeros_like(step.rewards_B))
    if isinstance(objective, Linear):
        return objective.coefficients(advantages_B, correct_B)
    return RatioInputs(objective.loss, advantages_B, weights_B, step.behaviour_logps)


def measure(*, sequences: int, repeats: int, toy: bool) -> list[dict[str, Any]]:
    """Time one step of every way in turns."""
    model = workloads.random_model(SMALL if toy else JUDGED, vocabulary=64, context=1024)
    trainers = {
        name: Trainer(copy.deepcopy(model), Optimizer())  # type: ignore[arg-type]
        for name in WAYS
    }
    step = make_step(trainers[ASYMRE], sequences=sequences)
    skipped: dict[str, np.ndarray] = {}

    def run(name: str, way: Way) -> Callable[[], None]:
        objective = objective_of(
            AlgorithmConfig(name=way.name, **way.options), baseline_reference=way.reference
        )

        def take() -> None:
            update = trainers[name].step(step.work.sequences, inputs_of(way, objective, step))
            skipped[name] = np.isnan(update.logps_B)

        return take

    ways = {name: run(name, way) for name, way in WAYS.items()}
    for take in ways.values():
        take()  # the first step allocates the optimizer's state
    seconds = in_turns(ways, repeats=repeats)
    tokens_B = np.array([prompt + completion - 1 for prompt, completion in step.work.lengths])
    return [
        {
            "objective": name,
            "cpu_s": median(values),
            "to_asymre": median(
                [own / base for own, base in zip(values, seconds[ASYMRE], strict=True)]
            ),
            "share_of_tokens": float(tokens_B[~skipped[name]].sum() / tokens_B.sum()),
            "cpu_s_all": values,
        }
        for name, values in seconds.items()
    ]


COLUMNS = {
    "objective": "{objective}",
    "CPU s, median": "{cpu_s:.2f}",
    "ratio to asymre": "{to_asymre:.3f}",
    "share of tokens with a coefficient": "{share_of_tokens:.3f}",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9, help="rounds")
    parser.add_argument("--toy", action="store_true", help="seconds instead of minutes: a test")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    sequences = 16 if chosen.toy else 32
    rows = measure(sequences=sequences, repeats=chosen.repeats, toy=chosen.toy)
    print(table(list(COLUMNS), [[form.format(**row) for form in COLUMNS.values()] for row in rows]))
    report(chosen.json, {"objectives": rows})


if __name__ == "__main__":
    main()

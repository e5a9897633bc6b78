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
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
import workloads
from measures import in_turns, median, report, table
from objective_steps import Method, loss_inputs, make_step
from workloads import JUDGED, SMALL, Optimizer, log_normal_lengths, workload

from asymreinforce.update.trainer import Trainer

GROUP_SIZE = 8
ASYMRE = "asymre"


METHODS = {
    ASYMRE: Method("asymre"),
    "asymmetric, as asymre": Method("asymmetric"),
    "asymmetric, w- = 0.1": Method("asymmetric", options={"negative_weight": 0.1}),
    "asymmetric, positives only": Method("asymmetric", "zero", 0.0, {"negative_weight": 0.0}),
    "asymmetric, negatives only": Method("asymmetric", "zero", 0.0, {"positive_weight": 0.0}),
    "grpo": Method("grpo"),
    "m2po": Method("m2po"),
    "dpo": Method("dpo"),
    "tis, minimum_variance": Method("tis", "minimum_variance"),
}


def measure(*, sequences: int, repeats: int, toy: bool) -> list[dict[str, Any]]:
    """Time one step of every way in turns."""
    model = workloads.random_model(SMALL if toy else JUDGED, vocabulary=64, context=1024)
    trainers = {
        name: Trainer(copy.deepcopy(model), Optimizer())  # type: ignore[arg-type]
        for name in METHODS
    }
    work = workload(log_normal_lengths(sequences), vocabulary=64)
    step = make_step(trainers[ASYMRE], work.sequences, group_size=GROUP_SIZE)
    skipped: dict[str, np.ndarray] = {}

    def run(name: str, method: Method) -> Callable[[], None]:
        def take() -> None:
            update = trainers[name].step(step.sequences, loss_inputs(method, step))
            skipped[name] = np.isnan(update.logps_B)

        return take

    ways = {name: run(name, method) for name, method in METHODS.items()}
    for take in ways.values():
        take()  # the first step allocates the optimizer's state
    seconds = in_turns(ways, repeats=repeats)
    tokens_B = np.array([prompt + completion - 1 for prompt, completion in work.lengths])
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

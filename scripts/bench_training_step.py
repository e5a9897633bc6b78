"""CPU time of one gradient of 128 trajectories, by how sequences are laid out; side by side.

    python scripts/bench_training_step.py [--prompt 13 --completion 4 --groups 16 --samples 8]

`padded, full logits` is what a plain script does: every sequence a row, logits at every position.
`own rows` drops the logits of prompts; `shared rows` computes a group's prompt once.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch.nn import functional as F

from asymreinforce.config import EmbeddedConfig
from asymreinforce.policy.embedded import random_model
from asymreinforce.policy.layout import Row, Sequences, lay_out, rows_of
from asymreinforce.policy.logps import sequence_sums, token_logps

REPEATS = 15


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("prompt", 13), ("completion", 4), ("groups", 16), ("samples", 8)):
        parser.add_argument(f"--{name}", type=int, default=default, help="tokens or counts")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    batch = sequences(chosen)
    context = chosen.prompt + chosen.samples * 4 * chosen.completion
    model = random_model(EmbeddedConfig(), context=context, tokens=294, end_token=0, seed=0).train()
    own = [
        Row([index], len(prompt) + len(completion) - 1)
        for index, (prompt, completion) in enumerate(zip(*batch, strict=True))
    ]

    def gradient_of(rows: list[Row]) -> None:
        laid_out = lay_out(batch, rows)
        backward(model, sequence_sums(token_logps(model, laid_out), laid_out).sum())

    ways: dict[str, Callable[[], None]] = {
        "padded, full logits": lambda: padded(model, batch),
        "own rows": lambda: gradient_of(own),
        "shared rows": lambda: gradient_of(rows_of(batch)),
    }
    times = measure(ways)
    slowest = times["padded, full logits"]
    print(f"{len(batch.prompts)} sequences, prompt {chosen.prompt}, completion {chosen.completion}")
    print("| layout | CPU ms, median | against padded |\n| --- | --- | --- |")
    for name, milliseconds in times.items():
        print(f"| {name} | {milliseconds:.1f} | {milliseconds / slowest:.2f} |")


def sequences(chosen: argparse.Namespace) -> Sequences:
    """Draw random tokens; completions are half to one and a half times as long as asked."""
    generator = np.random.default_rng(0)
    prompts = [generator.integers(1, 290, chosen.prompt) for _ in range(chosen.groups)]
    low, high = max(1, chosen.completion // 2), chosen.completion * 3 // 2 + 1
    return Sequences(
        [prompt for prompt in prompts for _ in range(chosen.samples)],
        [
            generator.integers(1, 290, generator.integers(low, high))
            for _ in range(chosen.groups * chosen.samples)
        ],
    )


def padded(model: torch.nn.Module, batch: Sequences) -> None:
    """A plain script: pad, take logits everywhere, mask the prompt and the padding."""
    rows = [np.concatenate(pair) for pair in zip(*batch, strict=True)]
    width = max(map(len, rows))
    ids = torch.tensor(np.array([np.pad(row, (0, width - len(row))) for row in rows]))
    keep = torch.zeros(ids.shape)
    for index, (prompt, completion) in enumerate(zip(*batch, strict=True)):
        keep[index, len(prompt) : len(prompt) + len(completion)] = 1
    logits = model(input_ids=ids).logits[:, :-1]
    logps = -F.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
    backward(model, (logps * keep[:, 1:]).sum())


def backward(model: torch.nn.Module, loss: torch.Tensor) -> None:
    """Make the gradient from nothing."""
    model.zero_grad(set_to_none=False)
    loss.backward()


def measure(ways: dict[str, Callable[[], None]]) -> dict[str, float]:
    """Return the median CPU milliseconds of each way, measured in turns."""
    for way in ways.values():
        way()
    samples: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(REPEATS):
        for name, way in ways.items():
            start = time.process_time()
            way()
            samples[name].append(1000 * (time.process_time() - start))
    return {name: statistics.median(values) for name, values in samples.items()}


if __name__ == "__main__":
    main()

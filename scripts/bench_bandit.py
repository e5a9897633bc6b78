"""CPU seconds of 378 chains x 100,000 exact steps x 100 arms on one thread, against its floors.

    python scripts/bench_bandit.py                 a full run, about ten CPU seconds
    python scripts/bench_bandit.py --steps 10000   a tenth, scaled up in the report

The floor is the time to copy the same bytes at the bandwidth of a copy in the same run. There are
two floors: with arrays of a step's size, which stay in a core's cache, and with arrays that fit no
cache. The parts are the five passes of a step, each timed alone.
"""

import argparse
import time
from collections.abc import Callable
from typing import NamedTuple

import torch

from asymreinforce.bandit.dynamics import advance_logits
from asymreinforce.bandit.problem import behaviour_logits, draw_rewards, flow_at_gap

ARMS, STEPS = 100, 100_000
SEEDS = (43, *range(20))
OFFSETS = (
    *(-0.5, -0.4, -0.3, -0.2, -0.1, -0.05, -0.02, -0.01, -0.005, -0.002, -0.001),
    *(0.0, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1),
)
REPEATS = 2_000
DRAM_NUMBERS = 1 << 25


class Pass(NamedTuple):
    """One pass of a step, and the bytes that the pass moves for each number of the array."""

    name: str
    bytes: int
    run: Callable[[], object]


def seconds(run: Callable[[], object], *, repeats: int) -> float:
    """Return the CPU seconds of one call."""
    run()
    start = time.process_time()
    for _ in range(repeats):
        run()
    return (time.process_time() - start) / repeats


def copy_bandwidth(numbers: int, *, repeats: int) -> float:
    """Return the bytes per second, read and written, of copying a float64 array."""
    source, target = torch.ones(numbers, dtype=torch.float64), torch.zeros(numbers).double()
    return 16 * numbers / seconds(lambda: target.copy_(source), repeats=repeats)


def step_passes(chains: int) -> list[Pass]:
    logits = -torch.rand(chains, ARMS, dtype=torch.float64)
    weights, drift = torch.empty_like(logits), torch.full_like(logits, 1e-12)
    gap, pull = (torch.full((chains, 1), 1e-12, dtype=torch.float64) for _ in range(2))
    return [
        Pass("exp2(logits) -> weights", 16, lambda: torch.exp2(logits, out=weights)),
        Pass("sum(weights)", 8, lambda: torch.sum(weights, -1, keepdim=True, out=pull)),
        Pass("gap / sum", 0, lambda: torch.div(gap, pull, out=pull)),
        Pass(
            "logits += pull * weights", 24, lambda: torch.addcmul(logits, weights, gap, out=logits)
        ),
        Pass("logits += drift", 24, lambda: torch.add(logits, drift, out=logits)),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=STEPS)
    steps = parser.parse_args().steps
    torch.set_num_threads(1)

    chains = len(SEEDS) * len(OFFSETS)
    rewards_CA = torch.stack([draw_rewards(seed, ARMS) for seed in SEEDS])
    rewards_CA = rewards_CA.repeat_interleave(len(OFFSETS), 0)
    logits_CA = behaviour_logits(ARMS, 10.0).repeat(chains, 1)
    gap_C = -torch.tensor(OFFSETS, dtype=torch.float64).repeat(len(SEEDS))
    flow = flow_at_gap(logits_CA.softmax(-1), rewards_CA, gap_C)
    lr_C = torch.ones_like(gap_C)
    start = time.process_time()
    advance_logits(logits_CA, flow, lr_C=lr_C, steps=steps)
    whole = (time.process_time() - start) * STEPS / steps

    numbers = chains * ARMS
    cached = copy_bandwidth(numbers, repeats=REPEATS)
    distant = copy_bandwidth(DRAM_NUMBERS, repeats=5)
    passes = step_passes(chains)
    moved = sum(each.bytes for each in passes) * numbers * STEPS
    per_number = whole / numbers / STEPS * 1e9
    print(f"{chains} chains x {STEPS} steps x {ARMS} arms, one thread, torch {torch.__version__}")
    print(f"advance                     {whole:6.2f} CPU s, {per_number:.2f} ns a number")
    for each in passes:
        took = seconds(each.run, repeats=REPEATS) * STEPS
        floor = each.bytes * numbers * STEPS / cached
        print(f"  {each.name:25} {took:6.2f} CPU s, {floor:5.2f} s at the bandwidth of a copy")
    print(
        f"floor, the passes' bytes    {moved / cached:6.2f} s at {cached / 1e9:.0f} GB/s in cache"
    )
    print(
        f"                            {moved / distant:6.2f} s at {distant / 1e9:.0f} GB/s in RAM"
    )
    fused = 24 * numbers * STEPS / cached
    print(
        f"floor, one fused pass       {fused:6.2f} s in cache (logits read and written, drift read)"
    )


if __name__ == "__main__":
    main()

"""Start, reload and sampling of each engine on the embedded policy, side by side in one run.

python scripts/bench_engines.py [--prompts 400 --samples 4]
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from asymreinforce.config import (
    EngineConfig,
    PolicyConfig,
    SamplingConfig,
    TaskConfig,
    WarmUpConfig,
)
from asymreinforce.engines import open_engine
from asymreinforce.policy.checkpoint import load_tokenizer
from asymreinforce.policy.embedded import make_checkpoint
from asymreinforce.tasks import questions

REPEATS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=400)
    parser.add_argument("--samples", type=int, default=4, help="completions of each prompt")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    policy = PolicyConfig()
    brief = policy.embedded.model_copy(update={"warm_up": WarmUpConfig(steps=60, questions=500)})
    task = TaskConfig(
        name="cups", train=chosen.prompts, validation=1, held_out=1, grader="final_answer"
    )
    sampling = SamplingConfig(samples_per_prompt=chosen.samples, max_tokens=16)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "checkpoint"
        brief_policy = policy.model_copy(update={"embedded": brief})
        make_checkpoint(checkpoint, brief_policy, advance=lambda steps: None)
        tokenizer = load_tokenizer(checkpoint)
        prompts = [tokenizer.encode(question.question) for question in questions(task, "train")]
        print("| engine | start, s | reload, ms | completions/s, median | CPU s a call |")
        print("| --- | --- | --- | --- | --- |")
        for name in ("vllm", "transformers"):
            print(measure(name, policy, checkpoint, prompts, sampling, Path(folder) / "log"))


def measure(
    name: str,
    policy: PolicyConfig,
    checkpoint: Path,
    prompts: list[list[int]],
    sampling: SamplingConfig,
    log: Path,
) -> str:
    """Return an engine's row of the table."""
    config = EngineConfig(name=name)
    with open_engine(config, policy, log=log) as engine:
        start = time.perf_counter()
        engine.load(checkpoint)
        started = time.perf_counter() - start
        engine.sample(prompts, sampling, seed=0)
        start = time.perf_counter()
        engine.load(checkpoint)
        reloaded = time.perf_counter() - start
        wall, cpu = [], []
        for seed in range(REPEATS):
            start, start_cpu = time.perf_counter(), time.process_time()
            engine.sample(prompts, sampling, seed=seed)
            wall.append(time.perf_counter() - start)
            cpu.append(time.process_time() - start_cpu)
    rate = len(prompts) * sampling.samples_per_prompt / statistics.median(wall)
    return (
        f"| {name} | {started:.1f} | {1000 * reloaded:.0f} | {rate:.0f} | "
        f"{statistics.median(cpu):.2f} |"
    )


if __name__ == "__main__":
    main()

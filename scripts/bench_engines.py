"""Time start, reload and sampling of each engine on the embedded policy in one run.

Then time vLLM on a whole set: in one call, in shards that overlap (as on CUDA), and in shards one
after another (as on CPU), with the embedded policy and with a policy 50 times as large.

python scripts/bench_engines.py [--prompts 400 --samples 4 --shards 16 --repeats 3]
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from transformers import PreTrainedTokenizerBase

from asymreinforce.config import (
    EngineConfig,
    PolicyConfig,
    SamplingConfig,
    TaskConfig,
    WarmUpConfig,
)
from asymreinforce.engines import Job, open_engine
from asymreinforce.engines.vllm_engine import VllmEngine
from asymreinforce.engines.vllm_features import ON_CPU
from asymreinforce.model.checkpoint import load_tokenizer
from asymreinforce.model.embedded import make_checkpoint
from asymreinforce.tasks import split_questions
from scripts.workloads import Shape, random_model

REPEATS = 5
LARGER = Shape(hidden=384, layers=7, intermediate=1024, query_heads=6, key_value_heads=6)
"""13 million parameters with a vocabulary of 4,096."""
CAPACITY = 64
"""Completions decoded at once; a shard has twice as many."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=400)
    parser.add_argument("--samples", type=int, default=4, help="completions of each prompt")
    parser.add_argument("--shards", type=int, default=16, help="of the set that is streamed")
    parser.add_argument("--repeats", type=int, default=3, help="passes over that set, each way")
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
        prompts = [
            tokenizer.encode(question.question) for question in split_questions(task, "train")
        ]
        print("| engine | start, s | reload, ms | completions/s, median | CPU s a call |")
        print("| --- | --- | --- | --- | --- |")
        for name in ("vllm", "transformers"):
            print(measure(name, policy, checkpoint, prompts, sampling, Path(folder) / "log"))
        larger = larger_policy(Path(folder) / "larger", tokenizer)
        print()
        print("| policy | tokens/s in one call | shards that overlap | one after the other |")
        print("| --- | --- | --- | --- |")
        for name, path in (("embedded", checkpoint), ("13 million parameters", larger)):
            print(streamed(name, path, prompts, chosen, Path(folder) / "log"))


def measure(
    name: str,
    policy: PolicyConfig,
    checkpoint: Path,
    prompts: list[list[int]],
    sampling: SamplingConfig,
    log: Path,
) -> str:
    """Return the row of an engine in the table."""
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


def larger_policy(directory: Path, tokenizer: PreTrainedTokenizerBase) -> Path:
    """Write a random policy whose completions end at each token with probability 1/16."""
    random_model(LARGER, vocabulary=4096, context=64).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    ends = {"eos_token_id": list(range(0, 4096, 16)), "pad_token_id": 0}
    for name in ("config.json", "generation_config.json"):
        path = directory / name
        path.write_text(json.dumps(json.loads(path.read_text()) | ends))
    return directory


def streamed(
    name: str, checkpoint: Path, prompts: list[list[int]], chosen: argparse.Namespace, log: Path
) -> str:
    """Return a policy's row: median tokens per second in one call, and the shares in shards."""
    sampling = SamplingConfig(samples_per_prompt=8, max_tokens=40)
    size = 2 * CAPACITY // sampling.samples_per_prompt
    parts = [
        [prompts[(s * size + i) % len(prompts)] for i in range(size)] for s in range(chosen.shards)
    ]
    jobs = [Job(f"{number}", part, number) for number, part in enumerate(parts)]
    whole = [Job("all", [prompt for part in parts for prompt in part], 0)]
    config = EngineConfig(name="vllm", max_sequences=CAPACITY)
    engine = VllmEngine(config, PolicyConfig(), log=log, features=ON_CPU._replace(streams=True))
    rates: dict[str, list[float]] = {"call": [], "overlap": [], "apart": []}
    try:
        engine.load(checkpoint)
        tokens_per_second(engine, jobs[:1], sampling)
        for _ in range(chosen.repeats):
            rates["call"].append(tokens_per_second(engine, whole, sampling))
            rates["overlap"].append(tokens_per_second(engine, jobs, sampling))
            rates["apart"].append(tokens_per_second(engine, jobs, sampling, apart=True))
    finally:
        engine.close()
    shares = [
        statistics.median(a / b for a, b in zip(rates[way], rates["call"], strict=True))
        for way in ("overlap", "apart")
    ]
    return (
        f"| {name} | {statistics.median(rates['call']):.0f} | {shares[0]:.1%} | {shares[1]:.1%} |"
    )


def tokens_per_second(
    engine: VllmEngine, jobs: list[Job], sampling: SamplingConfig, *, apart: bool = False
) -> float:
    """Return the tokens per second of sampling jobs, overlapping or one after another."""
    groups = [jobs] if not apart else [[job] for job in jobs]
    start = time.perf_counter()
    tokens = sum(
        len(completion.token_ids)
        for group in groups
        for _, drawn in engine.sample_jobs(group, sampling)
        for completions in drawn
        for completion in completions
    )
    return tokens / (time.perf_counter() - start)


if __name__ == "__main__":
    main()

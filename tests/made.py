"""Small real things to test with: configurations, checkpoints, rollouts, a fake engine."""

import hashlib
import itertools
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from asymreinforce.config import ExperimentConfig, SamplingConfig, parse_config
from asymreinforce.data import contracts
from asymreinforce.data.checksums import SUMS
from asymreinforce.data.shard_names import shard_name
from asymreinforce.data.store import Store
from asymreinforce.engines.protocol import Completion, DrawnJobs, Job, one_by_one

WORDS = ["Steps:", "Answer:", "1", "2", "3", "4", "5"]


def values(runs_dir: Path, *, policy: Path | str, **overrides: Any) -> dict[str, Any]:
    """The settings of a small experiment, as Hydra would hand them over."""
    sampling = {"temperature": 1.0, "top_p": 1.0, "max_tokens": 8, "seed": 0}
    settings: dict[str, Any] = {
        "name": "small",
        "runs_dir": str(runs_dir),
        "baseline": -0.1,
        "task": {
            "name": "cups",
            "train": 24,
            "validation": 8,
            "held_out": 12,
            "grader": "final_answer",
        },
        "policy": {"source": str(policy), "context": 64},
        "engine": {"name": "transformers"},
        "sampling": {
            **sampling,
            "samples_per_prompt": 4,
            "samples_per_block": 2,
            "prompts_per_shard": 8,
        },
        "evaluation": {"sampling": {**sampling, "samples_per_prompt": 2}},
        "optim": {"lr": 1e-3, "trajectories_per_step": 16},
        "train": {
            "device": "cpu",
            "precision": "float32",
            "checkpoint_every": 2,
            "diagnostics_every": 2,
            "slice_prompts": 4,
        },
    }
    if overrides.get("source__path") and not overrides.get("source__held_out"):
        settings["evaluation"]["prompts"] = 0  # the embedded questions do not judge them
    for key, value in overrides.items():
        part, names = settings, key.split("__")
        for name in names[:-1]:
            part = part.setdefault(name, {})
        part[names[-1]] = value
    return settings


def config(runs_dir: Path, *, policy: Path | str, **overrides: Any) -> ExperimentConfig:
    """The same, parsed; `optim__lr=1.0` sets optim.lr."""
    return parse_config(values(runs_dir, policy=policy, **overrides))


def random_policy(
    directory: Path, *, seed: int, width: int = 16, tied: bool = False, dtype: str = "float32"
) -> Path:
    """Write a checkpoint with random weights and the embedded task's tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from asymreinforce.model import embedded
    from asymreinforce.tasks import cups

    texts = [
        q.text + q.worked_answer for q in itertools.islice(cups.draw_cups("train", seed=0), 200)
    ]
    tokenizer = embedded.train_tokenizer(texts, vocabulary=294)
    torch.manual_seed(seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=2 * width,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            max_position_embeddings=64,
            initializer_range=0.5,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.eos_token_id,
            tie_word_embeddings=tied,
        )
    )
    model.to(getattr(torch, dtype)).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


class FakeEngine:
    """Draws words by a hash of (seed, prompt, sample): no model, the same answer every time."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._words = [tokenizer.encode(f" {word}") for word in WORDS]
        self.loaded: list[Path] = []
        self.calls = 0

    def load(self, checkpoint: Path) -> None:
        self.loaded.append(checkpoint)

    def sample(
        self, prompts: Sequence[Sequence[int]], sampling: SamplingConfig, *, seed: int
    ) -> list[list[Completion]]:
        self.calls += 1
        return [
            [self._draw(prompt, sampling, f"{seed}/{list(prompt)}/{sample}") for sample in range(n)]
            for prompt in prompts
            for n in [sampling.samples_per_prompt]
        ]

    def _draw(self, prompt: Sequence[int], sampling: SamplingConfig, key: str) -> Completion:
        generator = random.Random(hashlib.sha256(key.encode()).digest())
        answer = generator.choice(self._words[2:])
        tokens = [*self._words[1], *answer, self._tokenizer.eos_token_id]
        if generator.random() < 0.1:
            tokens = tokens[:1]
        logps = [-generator.random() for _ in tokens]
        return Completion(tokens, logps, "stop" if len(tokens) > 1 else "length")

    def sample_jobs(self, jobs: Iterable[Job], sampling: SamplingConfig) -> DrawnJobs:
        return one_by_one(self, jobs, sampling)

    def release(self) -> None:
        pass

    def close(self) -> None:
        pass


def scored_set(
    parent: Path,
    *,
    prompts: int,
    samples: int,
    seed: int = 0,
    prompts_per_shard: int = 8,
    samples_per_block: int | None = None,
    vocabulary: int = 280,
    policy: str = "made",
) -> tuple[Store, Store]:
    """Write a set of random rollouts and random verdicts: (rollouts, verdicts)."""
    block = samples_per_block or samples
    sampling = {"samples_per_block": block, "prompts_per_shard": prompts_per_shard}
    rollouts = Store(parent / "rollouts", {"policy": policy, "sampling": sampling, "seed": seed})
    verdicts = Store(parent / "verdicts", {"rollouts": rollouts.hash, "seed": seed})
    generator = random.Random(seed)
    questions = {
        f"q{index:06d}": [
            generator.randrange(1, vocabulary) for _ in range(generator.randint(3, 9))
        ]
        for index in range(prompts)
    }
    ids = list(questions)
    chunks = [ids[i : i + prompts_per_shard] for i in range(0, prompts, prompts_per_shard)]
    names = {
        shard_name(block=b, chunk=c): (range(b * block, (b + 1) * block), chunk)
        for b in range(-(-samples // block))
        for c, chunk in enumerate(chunks)
    }
    rollouts.plan(names)
    verdicts.plan(names)
    for name, (numbers, chunk) in names.items():
        keys = [(prompt_id, sample) for prompt_id in chunk for sample in numbers]
        write(
            rollouts,
            name,
            contracts.ROLLOUTS,
            _rollout_columns(keys, questions, generator),
            len(chunk),
        )
        receipt = rollouts.receipt(name)
        assert receipt
        columns = _verdict_columns(keys, generator)
        write(verdicts, name, contracts.VERDICTS, columns, len(chunk), receipt.sha256)
    rollouts.close()
    verdicts.close()
    return rollouts, verdicts


def write(
    store: Store,
    name: str,
    contract: contracts.Contract,
    columns: dict[str, Any],
    prompts: int,
    rollouts_sha256: str = "",
) -> None:
    """Publish rows as a shard."""
    rows = contracts.make_table(contract, columns)
    store.publish(
        name,
        lambda path: contracts.write_table(path, contract, rows, identity=store.hash),
        facts={"prompts": prompts, "rows": len(rows), "rollouts_sha256": rollouts_sha256},
    )


def _rollout_columns(
    keys: list[tuple[str, int]], questions: dict[str, list[int]], generator: random.Random
) -> dict[str, Any]:
    completions = [
        [generator.randrange(1, 280) for _ in range(generator.randint(1, 6))] for _ in keys
    ]
    return {
        "prompt_id": [prompt_id for prompt_id, _ in keys],
        "sample": [sample for _, sample in keys],
        "policy": ["made"] * len(keys),
        "prompt_token_ids": [questions[prompt_id] for prompt_id, _ in keys],
        "completion_token_ids": completions,
        "finish_reason": ["stop"] * len(keys),
        "text": ["made up"] * len(keys),
        "behaviour_logps": [[-0.5] * len(tokens) for tokens in completions],
    }


def _verdict_columns(keys: list[tuple[str, int]], generator: random.Random) -> dict[str, Any]:
    return {
        "prompt_id": [prompt_id for prompt_id, _ in keys],
        "sample": [sample for _, sample in keys],
        "status": ["ok"] * len(keys),
        "truncated": [False] * len(keys),
        "grader": ["made"] * len(keys),
        "grader_version": ["1"] * len(keys),
        "score": [float(generator.random() < 0.4) for _ in keys],
    }


BESIDE = {"provenance", "logs", SUMS}


def payload(directory: Path) -> dict[str, bytes]:
    """Everything in a directory but provenance: what a killed run and an untouched one share."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and not BESIDE & set(path.relative_to(directory).parts)
    }


def stamps(directory: Path) -> dict[str, tuple[int, int]]:
    """Inode and modification time of every file but provenance: what a no-op leaves alone."""
    return {
        str(path.relative_to(directory)): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in sorted(directory.rglob("*"))
        if path.is_file() and not {"provenance", SUMS} & set(path.parts)
    }

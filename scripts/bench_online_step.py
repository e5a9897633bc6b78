"""Compare a step of 128 trajectories of the embedded default with TRL's whole online step.

    python scripts/bench_online_step.py [--steps 20] [--json figures.json]

TRL's RLOO trainer runs as a user would run it on the cups task: it draws 16 prompts and 8 samples
of each, generates, rewards and takes a step. Its CPU time is measured between two calls of
`on_step_end`. Ours is `Trainer.step` on the sequences that TRL generated, in the order of the train
stage (groups together), with advantages shifted by 0.1 so that none is zero. Ours needs no
generation, since all arms of a sweep share rollouts. TRL's settings: fp32, no gradient
checkpointing, no KL term, no logging. The model is the embedded policy after a short warm-up, so
that it ends its answers.
"""

import argparse
import copy
import functools
import os
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import baselines
import numpy as np
import torch
from measures import in_turns, median, report, table
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from workloads import Optimizer

from asymreinforce.config import PolicyConfig
from asymreinforce.model.embedded import make_checkpoint
from asymreinforce.tasks import cups
from asymreinforce.update.packing import Sequences
from asymreinforce.update.trainer import Trainer

PROMPTS, SAMPLES, MAX_TOKENS = 16, 8, 16
WARM_UP = {"steps": 150, "early_steps": 100, "lr_warmup_steps": 20}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=20, help="measured, of either")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    if not baselines.has_trl():
        parser.exit(message=f"TRL: not measured; pip install trl=={baselines.TRL_VERSION}\n")
    with tempfile.TemporaryDirectory(prefix="bench-online-") as name:
        directory = Path(name) / "policy"
        policy = PolicyConfig.model_validate({"embedded": {"warm_up": WARM_UP}})
        make_checkpoint(directory, policy, advance=lambda _: None)
        figures = measure(directory, steps=chosen.steps)
    print(
        f"128 trajectories, {figures['prompt_tokens']:.1f} prompt and "
        f"{figures['completion_tokens']:.1f} completion tokens in the mean; "
        f"{figures['parameters']:,} parameters\n"
    )
    rows = [
        ("TRL's online step, its generation included", figures["trl_ms"], 1.0),
        ("asymreinforce, a step on the same sequences", figures["ours_ms"], figures["ratio"]),
    ]
    body = [(name, f"{ms:.1f}", f"{ratio:.2f}") for name, ms, ratio in rows]
    print(table(["step", "CPU ms, median", "against TRL"], body))
    report(chosen.json, {"online_step": figures})


def measure(directory: Path, *, steps: int) -> dict[str, Any]:
    """Run TRL for `steps` steps, and our trainer as often on TRL's last batch."""
    model = AutoModelForCausalLM.from_pretrained(directory).train()
    own = copy.deepcopy(model)
    trl_s, batch = run_trl(model, AutoTokenizer.from_pretrained(directory), steps=steps)
    prompts, completions = unpadded(batch, "prompt"), unpadded(batch, "completion")
    order = sorted(range(len(prompts)), key=lambda row: prompts[row].tobytes())
    sequences = Sequences(prompts, completions).take(order)
    trainer = Trainer(own, Optimizer())  # type: ignore[arg-type]
    coefficients_B = batch["advantages"].double()[order] + 0.1
    step = functools.partial(trainer.step, sequences, coefficients_B)
    step()
    ours_s = in_turns({"ours": step}, repeats=steps)["ours"]
    return {
        "trl_ms": 1000 * median(trl_s),
        "ours_ms": 1000 * median(ours_s),
        "ratio": median(ours_s) / median(trl_s),
        "parameters": sum(parameter.numel() for parameter in own.parameters()),
        "prompt_tokens": float(batch["prompt_mask"].sum() / len(coefficients_B)),
        "completion_tokens": float(batch["completion_mask"].sum() / len(coefficients_B)),
    }


def unpadded(batch: dict[str, Any], part: str) -> list[np.ndarray]:
    """Return the token ids of TRL's prompts or completions without padding."""
    pairs = zip(batch[f"{part}_ids"], batch[f"{part}_mask"], strict=True)
    return [ids[mask == 1].numpy() for ids, mask in pairs]


class StepTimes(TrainerCallback):
    """Records the CPU time between the ends of steps."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._last: float | None = None

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Record the time since the end of the last step."""
        now = time.process_time()
        if self._last is not None:
            self.seconds.append(now - self._last)
        self._last = now


def run_trl(model: Any, tokenizer: Any, *, steps: int) -> tuple[list[float], dict[str, Any]]:
    """Train online by TRL; return the seconds of each step but the first, and the last batch."""
    from datasets import Dataset

    trl = baselines.import_trl()
    source = cups.draw_cups("train", seed=0)
    questions = [next(source) for _ in range(PROMPTS * (steps + 1))]
    answers = {question.text: question.direct_answer for question in questions}

    def reward(prompts: list[str], completions: list[str], **_: Any) -> list[float]:
        pairs = zip(prompts, completions, strict=True)
        return [float(answers[prompt] in completion) for prompt, completion in pairs]

    times = StepTimes()
    with tempfile.TemporaryDirectory(prefix="bench-trl-") as directory:
        config = trl.RLOOConfig(
            output_dir=directory,
            per_device_train_batch_size=PROMPTS * SAMPLES,
            num_generations=SAMPLES,
            max_completion_length=MAX_TOKENS,
            max_steps=steps + 1,
            learning_rate=1e-12,
            beta=0.0,
            gradient_checkpointing=False,
            bf16=False,
            use_cpu=True,
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
        )
        trainer = trl.RLOOTrainer(
            model=model,
            reward_funcs=reward,
            args=config,
            train_dataset=Dataset.from_dict({"prompt": [q.text for q in questions]}),
            processing_class=tokenizer,
            callbacks=[times],
        )
        trainer.train()
    return times.seconds, trainer._buffered_inputs[0]


if __name__ == "__main__":
    main()

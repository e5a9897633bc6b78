"""Check the transformers engine by the scorer, and the command line by an experiment of a CPU."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from workloads import Shape, random_model

from gpu.checks import Finding, NotHereError, Place, gib, peak, reset_peak

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = (
    "engine=transformers", "optim.steps=12", "train.checkpoint_every=6", "train.slice_prompts=16",
    "train.validation_prompts=40", "evaluation.prompts=60", "evaluation.train_prompts=0",
    "sampling.samples_per_prompt=8", "task.train=640", "sweep.report=false", "seed=0",
    "baseline=-0.1", "train.diagnostics_every=6", "reward.workers=2",
)  # fmt: skip
"""Settings of the carried experiment: the embedded policy, 12 steps."""
FIRST_STEPS = 4
"""Steps in which arms are compared, since rounding errors grow from step to step."""


def engine(place: Place) -> Iterator[Finding]:
    """Compare the engine's log-probabilities of its sampled tokens with the packed scorer's."""
    from asymreinforce.config import EngineConfig, PolicyConfig, SamplingConfig
    from asymreinforce.engines.transformers_engine import TransformersEngine
    from asymreinforce.update.log_probs import Scorer
    from asymreinforce.update.packing import Sequences, pack_rows

    count, tokens, words = (8, 12, 300) if place.is_toy else (64, 256, 151_936)
    shape = Shape(64, 2, 96, 4, 2) if place.is_toy else Shape(896, 4, 4864, 14, 2)
    settings = EngineConfig(name="transformers", max_sequences=count)
    sampling = SamplingConfig(samples_per_prompt=2, max_tokens=tokens)
    generator = np.random.default_rng(0)
    prompts = [generator.integers(2, words, generator.integers(4, 60)) for _ in range(count // 2)]
    for dtype, most in ((torch.float32, 1e-3), (torch.bfloat16, 0.05)):
        name = str(dtype)[6:]
        model = random_model(shape, vocabulary=words, context=512, device=str(place.device))
        model = model.to(dtype).eval()
        engine = TransformersEngine(settings, PolicyConfig(dtype=name))
        engine.use(model, end_tokens=(1,))
        before = reset_peak(place)
        drawn = engine.sample([p.tolist() for p in prompts], sampling, seed=0)
        if place.on_cuda:
            used = float(peak(place) or 0) - before
            # One step's scores in fp32, a few copies, and the cache; not the scores of all steps.
            yield Finding(f"{name}: memory above the model", gib(used), "GiB", 1.5)
        pairs = [(p, one) for p, group in zip(prompts, drawn, strict=True) for one in group]
        sequences = Sequences([p for p, _ in pairs], [np.array(c.token_ids) for _, c in pairs])
        off = []
        with torch.no_grad():
            scorer = Scorer(model)
            for row in pack_rows(sequences, tokens=2048):
                own = scorer.scores(row).logps_C.float().cpu().numpy()
                theirs = np.concatenate([pairs[member][1].logps for member in row.members])
                off.append(np.abs(own - theirs))
        yield Finding(f"{name}: log p, mean", float(np.concatenate(off).mean()), "nats", most)
        yield Finding(f"{name}: log p, largest", float(np.concatenate(off).max()), "nats")


def carry(directory: Path) -> None:
    """Make the experiment to carry: prompts, policy, rollouts, verdicts, and an arm on CPU."""
    _asymrl("sweep", directory, "train.device=cpu", "train.precision=float32")


def command_line(place: Place) -> Iterator[Finding]:
    """Compare arms of `asymrl sweep` here, in fp32 and bf16, with the carried arm of the CPU."""
    if place.carried is None:
        raise NotHereError("no experiment directory was carried along (--carried)")
    directory = place.directory() / "runs"
    shutil.copytree(place.carried, directory, copy_function=shutil.copy2)
    wanted = _arms(directory)["cpu", "float32"]
    device = place.device.type
    precisions = ("float32", "bfloat16")
    log = _asymrl(
        "sweep", directory, f"train.device={device}", f"train.precision={','.join(precisions)}"
    )
    made = [line for line in log.splitlines() if line.startswith(("generate:", "score:"))]
    if not all("nothing to do" in line for line in made):
        raise AssertionError(f"rollouts or verdicts were made again: {made}")
    arms = _arms(directory)
    for precision, most in zip(precisions, (1e-3, 0.05), strict=True):
        found = arms[device, precision]
        steps = slice(1, 1 + FIRST_STEPS)
        for name in ("loss", "grad_norm"):
            one, other = (np.array(m[name][steps], dtype=np.float64) for m in (found, wanted))
            off = float(np.max(np.abs(one - other)) / np.max(np.abs(other)))
            yield Finding(f"{precision}: {name} of the first steps", off, "of the largest", most)
        kl = abs(float(found["kl"][0]))
        yield Finding(f"{precision}: KL(mu || pi) at step 0", kl, "nats", 1e-6)
        last = [float(m["validation_accuracy"][-1]) for m in (found, wanted)]
        yield Finding(f"{precision}: validation accuracy, CPU {last[1]:.2f}", last[0])


def _arms(directory: Path) -> dict[tuple[str, str], dict[str, list[Any]]]:
    """Read the metrics of every finished arm, by device and precision."""
    import json

    import pyarrow as pa
    import pyarrow.parquet as pq

    found = {}
    for manifest in directory.glob("*/train/*/manifest.json"):
        config = json.loads((manifest.parent / "config.json").read_text())
        parts = [pq.read_table(path) for path in sorted(manifest.parent.rglob("*.parquet"))]
        rows = pa.concat_tables([p for p in parts if "grad_norm" in p.column_names])
        rows = rows.sort_by("step")
        found[config["train"]["device"], config["train"]["precision"]] = rows.to_pydict()
    return found


def _asymrl(command: str, directory: Path, *overrides: str) -> str:
    """Run a command in a separate process; raise with the end of its output if it fails."""
    said = [
        sys.executable,
        "-m",
        "asymrl.main",
        command,
        *SETTINGS,
        f"runs_dir={directory}",
        *overrides,
    ]
    paths = [str(ROOT), str(ROOT / "cli"), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "COLUMNS": "200"}
    done = subprocess.run(said, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        logs = sorted(directory.rglob("arm-*.log"), key=lambda path: path.stat().st_mtime)
        more = logs[-1].read_text()[-1500:] if logs else ""
        raise RuntimeError(f"asymrl {command} ended in {done.returncode}: "
                           f"{(done.stdout + done.stderr)[-2000:]}\n{more}")  # fmt: skip
    return done.stdout + done.stderr

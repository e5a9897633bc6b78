"""Check steps of tiny models: CUDA against CPU, saved state, too little memory, one NCCL rank."""

import contextlib
import copy
import importlib.util
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import (
    Qwen2Config,
    Qwen2ForCausalLM,
)
from workloads import Optimizer

from asymreinforce.update.layers import compile_layers
from asymreinforce.update.loss_inputs import LossInputs
from asymreinforce.update.packing import Sequences
from asymreinforce.update.trainer import Trainer, Update
from gpu.checks import Finding, NotHereError, Place, distance, needs_cuda, peak, reset_peak
from gpu.tiny_models import (
    KINDS,
    SAMPLES,
    TINY,
    adapted,
    batch_of,
    frozen_in_bf16,
    linear_terms,
    model_of,
    ratio_inputs,
    recomputing,
)

FP32, BF16 = 1e-5, 0.02
"""Largest relative distance of a gradient from the CPU's in fp32."""


def trainer_of(model: Any, place: Place, *, half: bool, tokens: int = 300, **more: Any) -> Trainer:
    """Return a trainer that does not clip the gradient, with a learning rate of 1e-3."""
    return Trainer(
        model.to(place.device),
        Optimizer(lr=1e-3),  # type: ignore[arg-type]
        tokens_per_micro_batch=tokens,
        autocast=half,
        **more,
    )


def gradient_of(trainer: Trainer, terms: LossInputs) -> tuple[Tensor, Update]:
    """Take a step; return the gradient of the trained parameters on the host, and the update."""
    done = trainer.step(batch_of(), terms)
    parts = [p.grad for p in trainer.parameters]
    whole = [p.full_tensor() if hasattr(p, "full_tensor") else p for p in parts]  # type: ignore[union-attr]
    return torch.cat([part.flatten().float().cpu() for part in whole]), done  # type: ignore[union-attr]


CPU = Place(torch.device("cpu"), is_toy=True)


def steps(place: Place) -> Iterator[Finding]:
    """Check gradients and log-probabilities by model kind, objective, precision and options."""
    for kind in KINDS:
        for name, terms in (("linear", linear_terms()), ("ratio", ratio_inputs())):
            wanted, expected = gradient_of(trainer_of(model_of(kind), CPU, half=False), terms)
            for half, most in ((False, FP32), (True, BF16)):
                trainer = trainer_of(model_of(kind), place, half=half)
                found, done = gradient_of(trainer, terms)
                label = f"{kind}, {name}, {'bf16' if half else 'fp32'}"
                yield Finding(label, distance(found, wanted), "relative", most)
                if not np.array_equal(np.isnan(done.logps_B), np.isnan(expected.logps_B)):
                    raise AssertionError(f"{label}: other sequences were skipped")
                off = np.nanmax(np.abs(done.logps_B - expected.logps_B))
                yield Finding(f"{label}: log pi", float(off), "nats", 0.5 if half else 2e-3)
    yield from _options(place)


def _options(place: Place) -> Iterator[Finding]:
    terms = linear_terms()
    plain, _ = gradient_of(trainer_of(model_of("qwen3"), CPU, half=False), terms)
    lora, _ = gradient_of(trainer_of(adapted(model_of("llama")), CPU, half=False), terms)
    for half, most in ((False, FP32), (True, BF16)):
        precision = "bf16" if half else "fp32"
        model = recomputing(model_of("qwen3"))
        found, _ = gradient_of(trainer_of(model, place, half=half), terms)
        label = f"recomputed activations, {precision}"
        yield Finding(label, distance(found, plain), "relative", most)
        model = adapted(model_of("llama"))
        model = frozen_in_bf16(model) if half else model
        found, _ = gradient_of(trainer_of(model, place, half=half), terms)
        yield Finding(f"adapters, {precision}", distance(found, lora), "relative", most)


def objectives(place: Place) -> Iterator[Finding]:
    """Check the gradient of every preset of `conf/algorithm`, at a mu near pi."""
    if importlib.util.find_spec("pydantic") is None:
        raise NotHereError("needs pydantic, by which presets are read")
    from objective_steps import loss_inputs, make_step, preset_methods

    step = make_step(trainer_of(model_of("llama"), CPU, half=False), batch_of(), group_size=SAMPLES)
    for name, method in preset_methods().items():
        inputs = loss_inputs(method, step)
        wanted, _ = gradient_of(trainer_of(model_of("llama"), CPU, half=False), inputs)
        for half, most in ((False, FP32), (True, BF16)):
            found, _ = gradient_of(trainer_of(model_of("llama"), place, half=half), inputs)
            label = f"{name}, {'bf16' if half else 'fp32'}"
            yield Finding(label, distance(found, wanted), "relative", most)


def compiled(place: Place) -> Iterator[Finding]:
    """Check that torch.compile keeps the gradient, also with recomputation and adapters."""
    needs_cuda(place)
    terms = linear_terms()
    ways: dict[str, tuple[Callable[[], Any], bool]] = {
        "fp32": (lambda: model_of("qwen2"), False),
        "bf16": (lambda: model_of("qwen2"), True),
        "bf16, recomputed activations": (lambda: recomputing(model_of("qwen2")), True),
        "bf16, adapters": (lambda: frozen_in_bf16(adapted(model_of("qwen2"))), True),
    }
    for label, (make, half) in ways.items():
        reference = adapted(model_of("qwen2")) if "adapters" in label else model_of("qwen2")
        wanted, _ = gradient_of(trainer_of(reference, CPU, half=False), terms)
        trainer = trainer_of(make(), place, half=half)
        compile_layers(trainer.model)
        found, _ = gradient_of(trainer, terms)
        yield Finding(label, distance(found, wanted), "relative", BF16 if half else FP32)


def going_on(place: Place) -> Iterator[Finding]:
    """Compare four steps with two, a saved state, and two more in another trainer.

    The loaded state must equal the saved one to the bit. On CUDA, FlashAttention adds gradients in
    no fixed order, so later steps are compared with the distance of two uninterrupted runs.
    """
    from asymreinforce.update.state import Position, load_state, save_state

    batches = [(batch_of(seed), linear_terms()) for seed in range(4)]
    for half in (False, True):
        whole, again, first = (trainer_of(model_of("llama"), place, half=half) for _ in range(3))
        for trainer, count in ((whole, 4), (again, 4), (first, 2)):
            for batch in batches[:count]:
                trainer.step(*batch)
        directory = place.directory() / "state"
        more = {"note": torch.ones(2)}
        save_state(directory, first, Position(2, None, None), more=more, masters=half)
        model = copy.deepcopy(first.model).cpu()
        if half:  # a checkpoint has rounded weights, and the state has the fp32 masters
            for parameter in model.parameters():
                parameter.data = parameter.data.bfloat16().float()
        second = trainer_of(model, place, half=half)
        position, more = load_state(directory, second, masters=half)
        if position.step != 2 or more["note"].tolist() != [1, 1]:
            raise AssertionError(f"the state came back as {position}, {more}")
        for one, other in zip(first.parameters, second.parameters, strict=True):
            if not torch.equal(one, other):
                raise AssertionError("a weight is not what was saved")
            for key, value in first.optimizer.state[one].items():
                if not torch.equal(value, second.optimizer.state[other][key]):
                    raise AssertionError(f"{key} is not what was saved")
        for batch in batches[2:]:
            second.step(*batch)
        parted = distance(_weights(again), _weights(whole))
        label = "bf16" if half else "fp32"
        yield Finding(f"two undisturbed runs, {label}", parted, "relative")
        off = distance(_weights(second), _weights(whole))
        yield Finding(f"after going on, {label}", off, "relative", max(1e-6, 3 * parted))


def _weights(trainer: Trainer) -> Tensor:
    return torch.cat([p.detach().flatten().cpu() for p in trainer.parameters])


def out_of_memory(place: Place) -> Iterator[Finding]:
    """Check that too little memory halves the rows and keeps the gradient."""
    needs_cuda(place)

    def trainer_and_batch(tokens: int) -> tuple[Trainer, Sequences, Tensor]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            config = Qwen2Config(
                **{**TINY, "vocab_size": 8000, "hidden_size": 1024, "intermediate_size": 4096,
                   "num_hidden_layers": 8, "num_attention_heads": 8}
            )  # fmt: skip
            with place.device:
                model = Qwen2ForCausalLM(config).train()
        generator = np.random.default_rng(0)
        prompts = [generator.integers(2, 8000, 200) for _ in range(16)]
        completions = [generator.integers(2, 8000, 800) for _ in range(16)]
        trainer = trainer_of(model, place, half=True, tokens=tokens)
        return trainer, Sequences(prompts, completions), torch.linspace(-1, 1, 16)

    def gradient(trainer: Trainer, *work: Any) -> Tensor:
        trainer.step(*work)
        return torch.cat([p.grad.flatten().cpu() for p in trainer.parameters])  # type: ignore[union-attr]

    trainer, *work = trainer_and_batch(16_384)
    reset_peak(place)
    wanted = gradient(trainer, *work)
    used = float(peak(place) or 0)
    del trainer
    held = reset_peak(place)
    trainer, *work = trainer_and_batch(16_384)
    total = torch.cuda.get_device_properties(place.device).total_memory
    reserved = torch.cuda.memory_reserved()
    torch.cuda.set_per_process_memory_fraction((reserved + 0.6 * (used - reserved)) / total)
    try:
        found = gradient(trainer, *work)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    yield Finding("tokens of a row, halved from 16,384", str(trainer.tokens_per_micro_batch))
    if trainer.tokens_per_micro_batch >= 16_384:
        raise AssertionError(f"nothing ran out: {used} bytes at the peak, {held} held before")
    yield Finding("gradient", distance(found, wanted), "relative", BF16)


def one_rank(place: Place) -> Iterator[Finding]:
    """Check FSDP2 on one rank (NCCL on CUDA), with shards in memory and on the host."""
    from asymreinforce.update.ranks import join_ranks

    terms = linear_terms()
    wanted, _ = gradient_of(trainer_of(model_of("qwen3"), CPU, half=False), terms)
    with _as_torchrun(), join_ranks(place.device.type) as ranks:
        for half, most in ((False, FP32), (True, BF16)):
            for offload in (False, True) if place.on_cuda else (False,):
                trainer = Trainer(
                    model_of("qwen3"),
                    Optimizer(lr=1e-3),  # type: ignore[arg-type]
                    tokens_per_micro_batch=300,
                    autocast=half,
                    ranks=ranks,
                    cpu_offload=offload,
                )
                found, _ = gradient_of(trainer, terms)
                label = f"{'bf16' if half else 'fp32'}{', offloaded' if offload else ''}"
                yield Finding(label, distance(found, wanted), "relative", most)
                whole = trainer.whole_model()
                if whole is None or any(p.is_meta for p in whole.parameters()):
                    raise AssertionError(f"{label}: the model cannot be gathered")


@contextlib.contextmanager
def _as_torchrun() -> Iterator[None]:
    """Set the environment of torchrun with this process as the only rank."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    said = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1"}
    said |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    before = {name: os.environ.get(name) for name in said}
    os.environ.update(said)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})

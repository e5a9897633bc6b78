"""What the trainer computes, written the slow and obvious way: a sequence at a time, in fp64.

Shapes: B sequences, T tokens of one prompt and completion, V vocabulary.
"""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from asymreinforce.algorithm import objective
from asymreinforce.config import OptimConfig
from asymreinforce.model.checkpoint import load_model
from asymreinforce.update.loss_inputs import LossInputs
from asymreinforce.update.packing import Sequences
from asymreinforce.update.trainer import Trainer

UNCLIPPED = 1e12


def in_fp64(checkpoint: Path) -> Any:
    """Load a model in fp64 throughout."""
    return exact(load_model(checkpoint))


def exact(model: Any) -> Any:
    """Copy a model in fp64 throughout: transformers' RMSNorm rounds to fp32 whatever the dtype."""
    model = copy.deepcopy(model).double().train()
    for module in model.modules():
        if type(module).__name__.endswith("RMSNorm"):
            module.forward = _exact_norm(module)
    return model


def _exact_norm(norm: Any) -> Any:
    def forward(hidden: Tensor) -> Tensor:
        variance = hidden.pow(2).mean(-1, keepdim=True)
        return norm.weight * (hidden * torch.rsqrt(variance + norm.variance_epsilon))  # type: ignore[no-any-return]

    return forward


def trainer(model: Any, *, tokens: int = 16_384, **optim: Any) -> Trainer:
    """A trainer whose gradient stays as computed after a step: nothing is clipped."""
    settings = {"lr": 1e-3, "trajectories_per_step": 1, "grad_clip": UNCLIPPED, **optim}
    return Trainer(model, OptimConfig(**settings), tokens_per_micro_batch=tokens)


def sequences(
    seed: int, *, groups: int = 3, samples: int = 3, longest: int = 6, vocabulary: int = 290
) -> Sequences:
    """Draw groups of completions of one to `longest` tokens; token 0 stands nowhere."""
    generator = np.random.default_rng(seed)
    prompts = [generator.integers(1, vocabulary, generator.integers(2, 9)) for _ in range(groups)]
    return Sequences(
        [prompt for prompt in prompts for _ in range(samples)],
        [
            generator.integers(1, vocabulary, generator.integers(1, longest + 1))
            for _ in range(groups * samples)
        ],
    )


def token_logps(model: Any, prompt: np.ndarray, completion: np.ndarray) -> Tensor:
    """log pi(y_t | x, y_<t) of each completion token, from the logits of the whole sequence."""
    ids_T = torch.tensor(np.concatenate([prompt, completion]))[None]
    logps_TV = model(input_ids=ids_T, use_cache=False).logits[0].log_softmax(-1)
    start = len(prompt)
    return torch.stack(
        [logps_TV[start + t - 1, token] for t, token in enumerate(completion.tolist())]
    )


def gradient_of(loss: Tensor, model: Any) -> Tensor:
    """The gradient with respect to all parameters, end to end."""
    parts = torch.autograd.grad(loss, list(model.parameters()))
    return torch.cat([part.flatten() for part in parts])


def policy_gradient(model: Any, batch: Sequences, coefficients: list[float]) -> Tensor:
    """Gradient of the paper's loss, as `algorithm/objective.py` states it, by autograd."""
    return gradient_of(paper_loss(model, batch, coefficients), model)


def paper_loss(model: Any, batch: Sequences, coefficients: list[float]) -> Tensor:
    """-J = -(1/B) sum_i c_i log pi(y_i|x_i), every sequence on its own."""
    logps_B = torch.stack([token_logps(model, *one).sum() for one in zip(*batch, strict=True)])
    return objective.loss(
        logps_B, torch.tensor(coefficients, dtype=torch.float64), sequences=len(coefficients)
    )


def gradient_of_step(model: Any, batch: Sequences, terms: LossInputs, **settings: Any) -> Tensor:
    """The gradient that a step of the real trainer left behind; the model's weights move."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    trainer(model, **settings).step(batch, terms)
    gradient = torch.cat([p.grad.flatten().clone() for p in model.parameters()])
    model.load_state_dict(before)
    return gradient

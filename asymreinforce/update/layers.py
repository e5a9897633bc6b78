"""Prepare a model's layers for training: modes, activation checkpointing, compilation."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Given = ParamSpec("Given")
Result = TypeVar("Result")


def silence_randomness(model: "PreTrainedModel") -> None:
    """Put a model into evaluation mode for training, so that dropout and routers draw nothing."""
    from transformers.modeling_layers import GradientCheckpointingLayer

    # the policy that is trained must be the function that was sampled, which had no dropout
    model.eval()
    # transformers recomputes activations only in a layer that is in training mode itself
    for module in model.modules():
        if isinstance(module, GradientCheckpointingLayer):
            module.training = module.gradient_checkpointing


@contextlib.contextmanager
def in_evaluation_mode(model: "PreTrainedModel") -> Iterator[None]:
    """Put a model into evaluation mode, and restore the mode of each module afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, was_training in modes:
            module.training = was_training


def checkpoint_activations(model: "PreTrainedModel") -> None:
    """Keep only the input of each layer; the backward pass computes the layer again."""
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.enable_input_require_grads()  # frozen embeddings would cut the graph before the layers


def compile_layers(
    model: "PreTrainedModel", *, backend: str | Callable[..., Any] = "inductor"
) -> None:
    """Compile each decoder layer for rows of any length; the attention inside is not compiled."""
    for layer in decoder_layers(model):
        layer.compile(dynamic=True, backend=backend)


def uncompiled_without_gradient() -> AbstractContextManager[None]:
    """Run compiled layers uncompiled if gradients are disabled."""
    if torch.is_grad_enabled():
        return contextlib.nullcontext()
    # scoring and decoding are a small part of the work, and each would need its own compilation
    return torch.compiler.set_stance("force_eager")  # type: ignore[no-any-return]


def left_uncompiled(function: Callable[Given, Result]) -> Callable[Given, Result]:
    """Return a function that is not compiled, even if `torch.compile` compiles its caller."""
    # plans of attention differ by row, and each would be compiled again
    left_out: Callable[Given, Result] = torch.compiler.disable(function)  # type: ignore[no-untyped-call]
    return left_out


def decoder_layers(model: "PreTrainedModel") -> list[torch.nn.Module]:
    """Return the modules that the model's class declares as not to be split: its layers."""
    names = set(model._no_split_modules or ())
    # by any class of the MRO: sharding gives a module a subclass with another name
    return [
        module
        for module in model.modules()
        if names & {class_.__name__ for class_ in type(module).__mro__}
    ]

"""What is done to a model's layers before it trains: modes, recomputed activations, compilation."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def silence_randomness(model: "PreTrainedModel") -> None:
    """Put a model that is to train into evaluation mode, so that dropout and routers draw nothing.

    The policy is the function that was sampled. A layer that recomputes its activations stays in
    training mode itself, by which transformers tells that it is to; the modules inside do not.
    """
    from transformers.modeling_layers import GradientCheckpointingLayer

    model.eval()
    for module in model.modules():
        if isinstance(module, GradientCheckpointingLayer):
            module.training = module.gradient_checkpointing


@contextlib.contextmanager
def in_evaluation_mode(model: "PreTrainedModel") -> Iterator[None]:
    """Put a model into evaluation mode, and each of its modules back into its own after."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, was_training in modes:
            module.training = was_training


def checkpoint_activations(model: "PreTrainedModel") -> None:
    """Keep the input of each layer alone, and compute the layer again to go backward."""
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.enable_input_require_grads()  # frozen embeddings would cut the graph before the layers


def compile_layers(
    model: "PreTrainedModel", *, backend: str | Callable[..., Any] = "inductor"
) -> None:
    """Compile each decoder layer, for rows of any length; attention inside stays as it is."""
    for layer in decoder_layers(model):
        layer.compile(dynamic=True, backend=backend)


def uncompiled_without_gradient() -> AbstractContextManager[None]:
    """Leave compiled layers as they are written, unless a gradient is to be made.

    Scoring and decoding would be compiled anew, with and without a cache, and are a small part.
    """
    if torch.is_grad_enabled():
        return contextlib.nullcontext()
    return torch.compiler.set_stance("force_eager")  # type: ignore[no-any-return]


def decoder_layers(model: "PreTrainedModel") -> list[torch.nn.Module]:
    """Return the modules that a model's authors say must not be split, sharded or not."""
    names = set(model._no_split_modules or ())
    return [
        module
        for module in model.modules()
        if names & {class_.__name__ for class_ in type(module).__mro__}
    ]

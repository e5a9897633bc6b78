"""What makes a step fit its device: shorter rows when memory runs out, recomputed activations."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from asymreinforce.errors import DeviceMemoryError
from asymreinforce.progress import say

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from asymreinforce.policy.trainer import Trainer

Result = TypeVar("Result")

FEWEST_TOKENS = 64
"""Rows are not halved below this: one sequence is longer by then."""


def halving(trainer: "Trainer", accumulate: Callable[[], Result]) -> Result:
    """Make a step's gradient; out of memory, halve the tokens of a row, say so, and try again.

    The smaller budget stays for the steps to come. Raises `DeviceMemoryError` if even short rows do
    not fit. Of several ranks each raises it at once: the others may wait for it in a collective, so
    only whoever started them can let all of them go back together (`experiment/launch.py`).
    """
    while True:
        try:
            return accumulate()
        except torch.OutOfMemoryError as error:
            reason = str(error).split(".")[0]
        # outside of the handler, whose traceback would keep the tensors of the failed step alive
        trainer.scorer.free()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        halved = trainer.tokens_per_micro_batch // 2
        if halved < FEWEST_TOKENS:
            raise DeviceMemoryError(
                f"out of memory with rows of {trainer.tokens_per_micro_batch} tokens ({reason}); "
                "set train.activation_checkpointing=true or use a larger device, and run the same "
                "command again (on CUDA the arm goes on from its last checkpoint), or train "
                "another arm with train.lora.rank or a smaller sampling.max_tokens"
            )
        if trainer.ranks.mesh:
            raise DeviceMemoryError(
                f"rank {trainer.ranks.number} is out of memory with rows of "
                f"{trainer.tokens_per_micro_batch} tokens ({reason})",
                rows=halved,
            )
        trainer.tokens_per_micro_batch = halved
        say(
            f"out of memory: rows of {halved} tokens from here on "
            f"(train.tokens_per_micro_batch={halved} starts so)"
        )


def silence(model: "PreTrainedModel") -> None:
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
def evaluating(model: "PreTrainedModel") -> Iterator[None]:
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

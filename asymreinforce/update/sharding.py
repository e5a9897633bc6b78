"""Shard a model's parameters, gradients and optimizer state over ranks, by FSDP2.

Each decoder layer is gathered when it computes. Embedding, last norm and head are one group around
the layers, gathered once per row. The gradient of a step is the sum over ranks of

    (1/N) sum_i c_i grad log pi(y_i|x_i)          N: the sequences of the whole step

so reductions add, while FSDP averages by default. Head and embedding add their gradient to `.grad`
of the gathered weight (`head.py`, `embedding.py`), which FSDP reduces after the backward pass. If
the model computes in bf16, layers are gathered in bf16 and reduced in fp32.

Moments are written shard by shard (`torch.distributed.checkpoint`, in safetensors), and any number
of ranks can read them.
"""

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import (
    CPUOffloadPolicy,
    FSDPModule,
    MixedPrecisionPolicy,
    OffloadPolicy,
    fully_shard,
)
from torch.distributed.tensor import DTensor, distribute_tensor

from asymreinforce.model import adapters
from asymreinforce.update.layers import decoder_layers
from asymreinforce.update.ranks import Ranks

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from asymreinforce.update.log_probs import Scorer


def shard_parameters(scorer: "Scorer", ranks: Ranks, *, half: bool, cpu_offload: bool) -> None:
    """Shard every parameter over the ranks' devices, layer by layer, with rank 0's values.

    Other ranks may pass an empty model (`checkpoint.empty_model`): each layer is sent and then
    sharded before the next, so no more than one layer is ever filled. `half`: layers compute in
    bf16. `cpu_offload`: shards, gradients and moments stay on the host.
    """
    mesh = ranks.mesh
    assert mesh is not None
    offload = CPUOffloadPolicy(mesh.device_type == "cuda") if cpu_offload else OffloadPolicy()
    precision = MixedPrecisionPolicy(
        param_dtype=torch.bfloat16 if half else None,
        reduce_dtype=torch.float32 if half else None,
        cast_forward_inputs=False,  # autocast, as on one device
    )
    for layer in decoder_layers(scorer.model):
        _broadcast_first(layer)
        fully_shard(layer, mesh=mesh, mp_policy=precision, offload_policy=offload)
    _broadcast_first(scorer)
    # in fp32: the head's gradient is added up in this group chunk by chunk
    fully_shard(scorer, mesh=mesh, offload_policy=offload)
    for module in _sharded_modules(scorer):
        module.set_gradient_divide_factor(1.0)
        module.set_force_sum_reduction_for_comms(True)  # gloo cannot multiply before it adds


@contextlib.contextmanager
def around_layers(scorer: "Scorer") -> Iterator[None]:
    """Gather the group around the layers, so that parts of the model can be called; all ranks."""
    assert isinstance(scorer, FSDPModule)
    scorer.unshard()
    try:
        yield
    finally:
        scorer.reshard()


def gather_tensor(tensor: Tensor) -> Tensor:
    """Gather a sharded tensor onto the host; every rank must call."""
    return tensor.full_tensor().cpu() if isinstance(tensor, DTensor) else tensor


def whole_model(
    model: "PreTrainedModel", *, keep: bool, dtype: torch.dtype | None = None
) -> "PreTrainedModel | None":
    """Gather a sharded model onto the host, parameter by parameter; every rank must call.

    Returns a plain model if `keep`, else None. Weights are rounded to `dtype` before they are sent.
    """
    gathered: dict[int, Tensor] = {}
    weights: dict[str, Tensor] = {}
    for name, value in model.state_dict(keep_vars=True).items():
        if id(value) not in gathered:  # tied weights stay tied
            kept_dtype = dtype if dtype and value.is_floating_point() else value.dtype
            tensor = gather_tensor(value.detach().to(kept_dtype))
            gathered[id(value)] = tensor if keep else tensor.new_empty(0)
        weights[name] = gathered[id(value)]
    if not keep:
        return None
    with torch.device("meta"):
        plain: Any = type(model)(model.config)
        if adapters.is_attached(model):
            adapters.attach_like(plain, model)
    plain.load_state_dict(weights, assign=True)
    for name, buffer in model.named_buffers():  # some are in no state dict
        owner = plain.get_submodule(name.rpartition(".")[0])
        setattr(owner, name.rpartition(".")[2], buffer.detach().cpu().clone())
    plain.tie_weights()
    found_model: PreTrainedModel = plain.train(model.training)
    return found_model


def place_like(value: Tensor, parameter: Tensor) -> Tensor:
    """Return a tensor on a sharded parameter's device, sharded in the same way."""
    if isinstance(value, DTensor):
        return value
    assert isinstance(parameter, DTensor)
    return distribute_tensor(
        value.to(parameter.device), parameter.device_mesh, parameter.placements, src_data_rank=None
    )


def write_shards(directory: Path, tensors: dict[str, Tensor]) -> None:
    """Write every rank's shards into one directory that all ranks see; every rank must call."""
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter
    from torch.distributed.checkpoint.state_dict_saver import save

    writer = HuggingFaceStorageWriter(str(directory), save_distributed=True)
    save(tensors, storage_writer=writer)


def read_shards(directory: Path, tensors: dict[str, Tensor], ranks: Ranks) -> None:
    """Fill tensors, sharded or not, from shards that any number of ranks wrote."""
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
    from torch.distributed.checkpoint.state_dict_loader import load

    reader = HuggingFaceStorageReader(str(directory))
    with warnings.catch_warnings():
        # a single process reads without torch.distributed on purpose
        warnings.filterwarnings("ignore", "torch.distributed is disabled")
        load(tensors, storage_reader=reader, no_dist=ranks.mesh is None)


@torch.no_grad()
def _broadcast_first(module: nn.Module) -> None:
    """Send rank 0's parameters and buffers to every rank; sharded tensors are left out."""
    tensors = {id(t): t for t in [*module.parameters(), *module.buffers()]}  # a tied one once
    for tensor in tensors.values():
        if not isinstance(tensor, DTensor):
            # as bytes, which every backend can send, for tensors of any dtype
            dist.broadcast(tensor.detach().contiguous().view(-1).view(torch.uint8), src=0)


def _sharded_modules(module: nn.Module) -> Iterator[FSDPModule]:
    return (part for part in module.modules() if isinstance(part, FSDPModule))

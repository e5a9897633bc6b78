"""The ranks that train one arm together.

A *rank* is one process with one device. All ranks run the same code on the same steps in the same
order, but each reads only the tokens of its own rows. Rank 0 alone writes files, shows progress and
validates.
"""

import contextlib
import dataclasses
import datetime
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch

from asymreinforce.errors import ConfigError
from asymreinforce.model import cuda

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh

PATIENCE = datetime.timedelta(hours=2)
"""How long a rank waits for the others: rank 0 may be validating or writing a checkpoint. torchrun
notices a dead rank at once."""


@dataclasses.dataclass(frozen=True)
class Ranks:
    """This process's rank among `count`; `mesh` is None if training is not sharded."""

    number: int = 0
    count: int = 1
    mesh: "DeviceMesh | None" = None

    @property
    def is_first(self) -> bool:
        """Whether this is the rank that writes, validates and reports."""
        return self.number == 0

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Return the sum of all ranks' arrays, in fp64; every rank must call."""
        if self.count == 1:
            return values
        import torch.distributed as dist

        assert self.mesh is not None
        total = torch.from_numpy(np.asarray(values, dtype=np.float64)).to(self.mesh.device_type)
        dist.all_reduce(total)
        return total.cpu().numpy()

    def decided(self, decide: Callable[[], float]) -> float:
        """Return the number that rank 0 decides on (yes is 1, no is 0); every rank must call."""
        decision = float(decide()) if self.is_first else 0.0
        return float(self.sum(np.array([decision]))[0])

    def text(self, value: str) -> str:
        """Return rank 0's text; every rank must call."""
        encoded = np.frombuffer(value.encode(), dtype=np.uint8)
        length = int(self.decided(lambda: len(encoded)))
        sent = encoded if self.is_first else np.zeros(length)
        return bytes(self.sum(sent.astype(np.float64)).astype(np.uint8)).decode()

    def wait(self) -> None:
        """Return when every rank has called this."""
        self.decided(lambda: 0)


ALONE = Ranks()


@contextlib.contextmanager
def join_ranks(device: str, *, nodes_apart: bool = False) -> Iterator[Ranks]:
    """Join the ranks that torchrun's environment names (RANK, WORLD_SIZE, LOCAL_RANK).

    `nodes_apart`: weights are sharded within a node and copied between nodes. Raises `ConfigError`
    if this machine has fewer CUDA devices than ranks.
    """
    import torch.distributed as dist
    from torch.distributed.device_mesh import init_device_mesh

    count, local = int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_WORLD_SIZE"])
    bound = None
    if device == "cuda":
        device_of_rank = _take_device(int(os.environ["LOCAL_RANK"]), local)
        # A bound group connects NCCL at once, on this device and not on a guessed device. A mesh of
        # two dimensions is not bound: torch would split the group by NCCL options, which gloo
        # refuses.
        bound = None if nodes_apart else device_of_rank
    # gloo as well: tensors that are offloaded to the host are summed and gathered there
    backend = "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo"
    dist.init_process_group(backend, timeout=PATIENCE, device_id=bound)
    try:
        shape = (count // local, local) if nodes_apart else (count,)
        mesh = init_device_mesh(device, shape, mesh_dim_names=("copy", "shard")[-len(shape) :])
        yield Ranks(dist.get_rank(), count, mesh)
    finally:
        dist.destroy_process_group()


def _take_device(number: int, needed: int) -> torch.device:
    cuda.require_device()
    devices = torch.cuda.device_count()
    if devices < needed:
        raise ConfigError(
            f"train.processes={needed} needs as many CUDA devices, and {devices} are shown on this "
            f"machine; use train.processes={devices}"
        )
    torch.cuda.set_device(number)
    return torch.device("cuda", number)

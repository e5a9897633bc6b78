"""The processes that train one arm together, as each of them sees the others.

A *rank* is one process with one device. All ranks run the same code on the same steps in the same
order, of which each reads the tokens of its own rows; what only one may do (files, progress,
validation) the first one does.
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
"""How long a rank waits for the others: the first one may be validating or writing a checkpoint.
A rank that died is noticed at once, by torchrun."""


@dataclasses.dataclass(frozen=True)
class Ranks:
    """This process's number among `count`; `mesh` is None where it trains without sharding."""

    number: int = 0
    count: int = 1
    mesh: "DeviceMesh | None" = None

    @property
    def is_first(self) -> bool:
        """Whether this is the rank that writes, validates and reports."""
        return self.number == 0

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Add up an array of each rank, in fp64; every rank gets the sum and must call."""
        if self.count == 1:
            return values
        import torch.distributed as dist

        assert self.mesh is not None
        total = torch.from_numpy(np.asarray(values, dtype=np.float64)).to(self.mesh.device_type)
        dist.all_reduce(total)
        return total.cpu().numpy()

    def decided(self, decide: Callable[[], float]) -> float:
        """Let the first rank decide on a number (a yes or no is 1 or 0); every rank must call."""
        decision = float(decide()) if self.is_first else 0.0
        return float(self.sum(np.array([decision]))[0])

    def text(self, value: str) -> str:
        """Return the first rank's text; every rank must call."""
        encoded = np.frombuffer(value.encode(), dtype=np.uint8)
        length = int(self.decided(lambda: len(encoded)))
        sent = encoded if self.is_first else np.zeros(length)
        return bytes(self.sum(sent.astype(np.float64)).astype(np.uint8)).decode()

    def wait(self) -> None:
        """Return when every rank is here."""
        self.decided(lambda: 0)


ALONE = Ranks()


@contextlib.contextmanager
def join_ranks(device: str, *, nodes_apart: bool = False) -> Iterator[Ranks]:
    """Join the ranks that torchrun's environment names (RANK, WORLD_SIZE, LOCAL_RANK).

    `nodes_apart`: weights are sharded within a node and copied between nodes. Raises `ConfigError`
    if this machine has no devices, or fewer than ranks.
    """
    import torch.distributed as dist
    from torch.distributed.device_mesh import init_device_mesh

    count, local = int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_WORLD_SIZE"])
    bound = None
    if device == "cuda":
        device_of_rank = _take_device(int(os.environ["LOCAL_RANK"]), local)
        # NCCL then connects at once, on this device and no guessed one. Not where the mesh has two
        # dimensions: torch splits a bound group for them, by NCCL's options, which gloo refuses.
        bound = None if nodes_apart else device_of_rank
    # gloo beside nccl: what is offloaded to the host is summed and gathered there
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

"""How a rank joins the others: which device and which backends its process group is told of."""

import datetime
from typing import Any, NamedTuple

import pytest
import torch

from asymreinforce.update import ranks


class Mesh(NamedTuple):
    device_type: str
    shape: tuple[int, ...]


class Group:
    """torch's process group in place of a real one; it refuses what the real one refuses."""

    def __init__(self, devices: int):
        self.devices = devices
        self.backend = ""
        self.device_id: torch.device | None = None
        self.is_there = False

    def init_process_group(
        self,
        backend: str,
        *,
        timeout: datetime.timedelta,
        device_id: torch.device | None = None,
    ) -> None:
        if device_id is not None:
            if device_id.index is None:
                raise ValueError("Please use a device_id with index.")
            if device_id.type != "cuda" or device_id.index >= self.devices:
                raise ValueError(f"device_id {device_id} is out of range.")
        assert timeout == ranks.PATIENCE
        self.backend, self.device_id, self.is_there = backend, device_id, True

    def init_device_mesh(
        self, device: str, shape: tuple[int, ...], *, mesh_dim_names: tuple[str, ...]
    ) -> Mesh:
        assert len(mesh_dim_names) == len(shape)
        if self.device_id is not None and len(shape) > 1 and "gloo" in self.backend:
            raise RuntimeError("opts not a ProcessGroupGloo::Options.")  # of split_group
        return Mesh(device, shape)

    def get_rank(self) -> int:
        return 3

    def destroy_process_group(self) -> None:
        self.is_there = False


@pytest.fixture
def group(monkeypatch: pytest.MonkeyPatch) -> Group:
    """Make up two nodes of two devices; this is the second rank of the second node."""
    import torch.distributed as dist
    from torch.distributed import device_mesh

    made = Group(devices=2)
    for name in ("init_process_group", "get_rank", "destroy_process_group"):
        monkeypatch.setattr(dist, name, getattr(made, name))
    monkeypatch.setattr(device_mesh, "init_device_mesh", made.init_device_mesh)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: made.devices)
    monkeypatch.setattr(torch.cuda, "set_device", lambda number: None)
    for name, value in {"WORLD_SIZE": 4, "LOCAL_WORLD_SIZE": 2, "LOCAL_RANK": 1}.items():
        monkeypatch.setenv(name, str(value))
    return made


@pytest.mark.parametrize(
    ("device", "nodes_apart", "backend", "bound", "shape"),
    [
        ("cuda", False, "cpu:gloo,cuda:nccl", torch.device("cuda", 1), (4,)),
        ("cuda", True, "cpu:gloo,cuda:nccl", None, (2, 2)),
        ("cpu", False, "gloo", None, (4,)),
    ],
)
def test_a_rank_on_cuda_names_its_device_unless_its_group_is_to_be_split(
    group: Group,
    device: str,
    nodes_apart: bool,
    backend: str,
    bound: Any,
    shape: tuple[int, ...],
) -> None:
    with ranks.join_ranks(device, nodes_apart=nodes_apart) as joined:
        assert group.is_there
        assert (group.backend, group.device_id) == (backend, bound)
        assert joined == ranks.Ranks(3, 4, Mesh(device, shape))  # type: ignore[arg-type]
    assert not group.is_there

"""What a bug report needs to know of the machine."""

import os
import platform
import shutil
from pathlib import Path

from asymreinforce.data.provenance import git_revision, versions


def describe() -> str:
    """Return versions, devices, cores, memory and disk, a line each."""
    disk = shutil.disk_usage(Path.cwd())
    lines = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        **versions(),
        "git revision": git_revision() or "-",
        "cores": str(os.cpu_count()),
        "memory": f"{_memory_gib():.1f} GiB",
        "free disk": f"{disk.free / 2**30:.1f} of {disk.total / 2**30:.1f} GiB here",
        "devices": _devices(),
    }
    width = max(map(len, lines))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in lines.items())


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def _devices() -> str:
    try:
        import torch
    except ImportError:
        return "torch is not installed"
    if not torch.cuda.is_available():
        return "cpu (no CUDA device)"
    count = torch.cuda.device_count()
    return ", ".join(torch.cuda.get_device_name(index) for index in range(count))

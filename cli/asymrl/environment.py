"""Describe the machine for a bug report."""

import os
import platform
import shutil
import subprocess
from pathlib import Path

from asymreinforce.data.provenance import git_revision, package_versions
from asymrl.keys import install_files


def describe_machine() -> str:
    """Return versions, cores, memory, disk, driver and devices, one on each line."""
    disk = shutil.disk_usage(Path.cwd())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    lines = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        **package_versions(),
        "constraints": f"{install_files()}/constraints-*.txt, overrides.txt",
        "git revision": git_revision() or "-",
        "cores": str(os.cpu_count()),
        "memory": f"{memory / 2**30:.1f} GiB",
        "free disk": f"{disk.free / 2**30:.1f} of {disk.total / 2**30:.1f} GiB here",
        "CUDA": _cuda_build(),
        "driver": _driver_version(),
        "devices": _device_names(),
    }
    width = max(map(len, lines))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in lines.items())


def _cuda_build() -> str:
    """Return the CUDA build of torch and the driver version that the build needs."""
    try:
        from asymreinforce.model import cuda
    except ImportError:
        return "torch is not installed"
    return cuda.describe_build()


def _driver_version() -> str:
    """Return the version of NVIDIA's driver from `nvidia-smi`."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        completed = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except FileNotFoundError:
        return "none found (there is no nvidia-smi)"
    except (OSError, subprocess.SubprocessError) as error:
        return f"unknown ({error})"
    return completed.stdout.split("\n")[0].strip() or "unknown (nvidia-smi names no GPU)"


def _device_names() -> str:
    try:
        import torch
    except ImportError:
        return "torch is not installed"
    if not torch.cuda.is_available():
        return "cpu (no CUDA device)"
    devices = map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
    return ", ".join(f"{device.name} {device.total_memory / 2**30:.0f} GiB" for device in devices)

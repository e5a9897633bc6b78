"""CUDA devices: the driver that this build of torch needs, and why no device may be visible."""

import os
import re

import torch

from asymreinforce.errors import ConfigError

DRIVERS = {"11": "450.80", "12": "525.60", "13": "580.65"}
"""Oldest NVIDIA driver on Linux for each major version of CUDA (NVIDIA, CUDA Compatibility)."""


def describe_build() -> str:
    """Return the CUDA version of this torch and the driver it needs, for errors and reports."""
    version = torch.version.cuda
    if version is None:
        return f"torch {torch.__version__} is built without CUDA"
    driver = DRIVERS.get(version.split(".")[0])
    needs = f", which needs NVIDIA driver {driver} or newer" if driver else ""
    return f"torch {torch.__version__} is built for CUDA {version}{needs}"


def require_device() -> None:
    """Raise `ConfigError` with the reason if `train.device=cuda` finds no CUDA device."""
    if not torch.cuda.is_available():
        raise ConfigError(
            "train.device=cuda, but this machine shows no CUDA device: "
            f"{_missing_device_reason()}; or use train.device=cpu"
        )


def _missing_device_reason() -> str:
    if torch.version.cuda is None:
        return f"{describe_build()}; install the extra gpu (make install EXTRA=gpu)"
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible in ("", "-1"):
        return f"CUDA_VISIBLE_DEVICES={visible!r} hides every device; unset it"
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except (RuntimeError, AssertionError) as error:
        # torch's own advice points to web pages and goes on for lines
        sentences = re.split(r"(?<=[.?])\s+", str(error).split("\n")[0])
        said = " ".join(s for s in sentences if "http" not in s).rstrip(".")
    else:
        said = "torch gives no reason"
    return f"{said}; {describe_build()}"

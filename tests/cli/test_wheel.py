"""A wheel holds the configuration, and works from another directory."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from asymrl.bridge import conf_directory

ROOT = Path(__file__).parents[2]
BUILD = "build --wheel --quiet --offline --out-dir"
INSTALL_FILES = ("constraints-cpu.txt", "constraints-gpu.txt", "overrides.txt")
BUILT_OF = (
    "asymreinforce",
    "cli",
    "conf",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    *INSTALL_FILES,
)


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's contents, as an installation has them."""
    uv = Path(sys.executable).with_name("uv")
    if not uv.exists():
        pytest.skip("uv is not in this environment; 'make install' puts it there")
    directory = tmp_path_factory.mktemp("wheel")
    source = directory / "source"
    for name in BUILT_OF:
        if (ROOT / name).is_dir():
            skipped = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, source / name, ignore=skipped)
        else:
            shutil.copy(ROOT / name, source / name)
    for command in (BUILD, BUILD.replace("--offline ", "")):  # the index only where need be
        ran = subprocess.run(
            [uv, *command.split(), directory, source], capture_output=True, text=True, check=False
        )
        if not ran.returncode:
            break
    else:
        last = ran.stderr.strip().splitlines()[-1:]
        if "hatchling" in ran.stderr:
            pytest.skip(f"the build backend, hatchling, cannot be had here: {last}")
        pytest.fail(ran.stderr)
    (wheel,) = directory.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(directory / "installed")
    return directory / "installed"


def test_a_wheel_holds_every_file_of_the_configuration(unpacked: Path) -> None:
    conf = conf_directory()
    expected = {str(path.relative_to(conf)) for path in conf.rglob("*.yaml")}
    assert len(expected) > 15
    found = unpacked / "asymrl/conf"
    assert {str(path.relative_to(found)) for path in found.rglob("*.yaml")} == expected


def test_a_wheel_holds_every_module_and_template(unpacked: Path) -> None:
    for package in (ROOT / "asymreinforce", ROOT / "cli" / "asymrl"):
        expected = {
            str(path.relative_to(package.parent))
            for path in package.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts and "conf" not in path.parts
        }
        found = {str(path.relative_to(unpacked)) for path in unpacked.rglob("*")}
        assert expected - found == set()
    assert not (unpacked / "tests").exists()


def test_a_wheel_holds_the_files_to_install_it_with(unpacked: Path) -> None:
    for name in INSTALL_FILES:
        assert (unpacked / "asymrl/install" / name).read_bytes() == (ROOT / name).read_bytes()


def test_a_wheel_says_who_made_it_and_under_what_license(unpacked: Path) -> None:
    (metadata,) = unpacked.glob("*.dist-info/METADATA")
    lines = metadata.read_text().splitlines()
    assert "License-Expression: Apache-2.0" in lines
    assert "Author: asymreinforce developers" in lines
    assert "Apache License" in (metadata.parent / "licenses/LICENSE").read_text()


def test_a_wheel_works_from_another_directory(unpacked: Path, tmp_path: Path) -> None:
    """Its own modules are imported, not those of this checkout."""
    program = "import asymrl.main; print(asymrl.main.__file__); asymrl.main.main()"
    ran = subprocess.run(
        [sys.executable, "-c", program, "train", "baseline=-0.25", "--cfg", "job"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(unpacked), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    first, *rest = ran.stdout.splitlines()
    assert first == str(unpacked / "asymrl/main.py")
    assert "baseline: -0.25" in rest
    assert list(tmp_path.iterdir()) == []

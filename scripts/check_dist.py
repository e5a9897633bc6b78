"""Install the built wheel without a checkout or torch in an empty directory, and use it.

    make dist        # builds dist/ and runs this script on it

Each supported Python of this machine gets a new environment. The script installs the wheel there
without extras, and runs the commands that need no torch: help, the table of settings, a new
experiment's file, and the report of a stored experiment.
"""

import argparse
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

PYTHONS = ("3.11", "3.12")
IN_WHEEL = (
    "asymreinforce/py.typed",
    "asymrl/py.typed",
    "asymrl/conf/config.yaml",
    "asymrl/install/overrides.txt",
)
IN_SDIST = ("LICENSE", "Makefile", "README.md", "CHANGELOG.md", "CITATION.cff", "mkdocs.yml")
NOT_IN_WHEEL = ("tests/", "scripts/", "docs/", "cli/")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path, help="where the wheel and the sdist lie")
    directory = parser.parse_args().directory
    (wheel,) = directory.glob("*.whl")
    (sdist,) = directory.glob("*.tar.gz")
    check_contents(wheel, sdist)
    uv = Path(sys.executable).with_name("uv")
    for python in PYTHONS:
        if subprocess.run(
            [uv, "python", "find", python], capture_output=True, check=False
        ).returncode:
            print(f"Python {python}: not on this machine, not tried")
            continue
        with tempfile.TemporaryDirectory(prefix="dist-") as place:
            use_wheel(wheel.resolve(), uv, python, Path(place))
        print(f"Python {python}: installed and used without torch")


def check_contents(wheel: Path, sdist: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    missing = [name for name in IN_WHEEL if name not in names]
    missing += [name for name in IN_SDIST if name not in packed]
    foreign = [name for name in names if name.startswith(NOT_IN_WHEEL)]
    if missing or foreign:
        raise SystemExit(f"missing: {missing}; not to be in the wheel: {foreign}")
    print(f"{wheel.name}: {len(names)} files; {sdist.name}: {len(packed)} files")


def use_wheel(wheel: Path, uv: Path, python: str, place: Path) -> None:
    """Install the wheel without extras, and run the commands that need no torch."""
    environment, empty = place / "venv", place / "empty"
    empty.mkdir()
    make_stored_experiment(empty / "runs/stored")
    run([uv, "venv", "--quiet", "--python", python, environment], empty)
    run([uv, "pip", "install", "--quiet", "--python", environment / "bin/python", wheel], empty)
    asymrl = environment / "bin/asymrl"
    for words in (
        ("--version",), ("--help",), ("settings", "baseline"), ("env",), ("new", "mine.yaml"),
        ("train", "--cfg", "job"), ("report", "runs/stored", "--quiet"),
    ):  # fmt: skip
        run([asymrl, *words], empty)
    if not (empty / "runs/stored/report.html").is_file():
        raise SystemExit("asymrl report wrote no page")
    absent = "import importlib.util as u; assert not u.find_spec('torch'), 'torch was installed'"
    run([environment / "bin/python", "-c", absent], empty)


def make_stored_experiment(directory: Path) -> None:
    """Write a small trained and evaluated experiment, as the tests of the report do."""
    from tests.fixtures.made_up_experiment import make_experiment, sweep

    make_experiment(directory, sweep((-0.1, 0.1)), metric_files=1)


def run(command: list[str | Path], directory: Path) -> None:
    ran = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}:\n{ran.stdout}{ran.stderr}")


if __name__ == "__main__":
    main()

"""Every command that the README shows is one that this repository has, and works.

`asymrl` commands run in the README's order, in one directory, cut down to a test's size; a line
whose comment says that it needs a GPU is composed and not run. `make` targets stand in `make help`.
"""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from asymrl.main import app

from asymreinforce.config import parse_config
from tests.cli.test_settings import composed
from tests.fixtures import foreign_files as files
from tests.fixtures.commands import EMBEDDED, IN_PROCESS, TINY, Outcome, asymrl

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(?:sh|bash|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"^    (?:\$ )?((?:asymrl|make) .*)$", re.MULTILINE)
PROGRAMS = ("asymrl", "make")
BANDIT = ("arms=10", "steps=[50]", "seed=[43]", "baseline=[-0.1,0.1]")
COMMANDS = {
    command.name or command.callback.__name__
    for command in app.registered_commands
    if command.callback
}
READING = ("report", "inspect", "samples", "status")


def shown(text: str) -> list[str]:
    """The commands of a README, in order, their comments left on."""
    lines = [
        line for block in BLOCK.findall(text) for line in block.replace("\\\n", " ").splitlines()
    ]
    lines += INDENTED.findall(BLOCK.sub("", text))
    found = [line.strip().removeprefix("$ ").removeprefix(".venv/bin/") for line in lines]
    return [line for line in found if line.startswith(PROGRAMS)]


README = shown((ROOT / "README.md").read_text())
ASYMRL = [line for line in README if line.startswith("asymrl")]
MAKE = [line for line in README if line.startswith("make")]


def words(line: str) -> list[str]:
    return shlex.split(line, comments=True)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the README's commands run, one after the other."""
    return tmp_path_factory.mktemp("readme")


def run(line: str, directory: Path) -> Outcome:
    """Run a command of the README with settings that cut it down, in a directory of its own."""
    _, command, *arguments = words(line)
    runs = f"runs_dir={directory / 'runs'}"
    if command in ("new", "settings"):
        return asymrl(command, *(word.replace("arith", f"{directory}/arith") for word in arguments))
    if command in ("env", *READING):
        options = [a if a.startswith("-") else str(directory / a) for a in arguments]
        is_named = any(not a.startswith("-") for a in arguments)
        default = [] if is_named or command == "env" else [str(directory / "runs/cups")]
        return asymrl(command, *default, *options)
    if command == "push":
        return asymrl(command, str(directory / arguments[0]), *arguments[1:])
    if command == "import":
        path = files.jsonl(directory / "rollouts.jsonl", files.rows(40, ("small", "large")))
        policy = min((directory / "runs/cups/policy").glob("*/checkpoint"))
        there = {"source.path=rollouts.jsonl": path, "policy.source=MODEL": policy}
        arguments = [
            f"{word.partition('=')[0]}={there[word]}" if word in there else word
            for word in arguments
        ]
        own = [word for word in TINY if not word.startswith(("task.", "train.validation"))]
        return asymrl(command, runs, *own, *arguments)
    if command == "bandit":
        return asymrl(command, *arguments, *BANDIT, runs)
    small = [*TINY, *(EMBEDDED if "model=" not in line else [])]
    if "-m" in arguments or command == "sweep":
        small.append(IN_PROCESS)
    return asymrl(command, runs, *small, *arguments)


def test_commands_are_found_in_fences_and_in_indented_blocks() -> None:
    text = "a\n\n```sh\nasymrl init   # b\n$ make test\n```\n\n    asymrl env\n    other\n"
    assert shown(text) == ["asymrl init   # b", "make test", "asymrl env"]


def test_the_readme_shows_every_command_and_both_ways_in() -> None:
    assert {words(line)[1] for line in ASYMRL} == COMMANDS
    assert {"demo", "test"} <= {words(line)[1] for line in MAKE}


@pytest.mark.parametrize("line", ASYMRL)
def test_every_asymrl_command_of_the_readme_works(line: str, directory: Path) -> None:
    if "needs the" in line:
        return  # tests/cli/test_own_experiment.py fills the file in
    if "GPU" in line:
        _, command, *arguments = words(line)
        first = [re.sub(r"^(baseline|seed)=([^,]*),.*", r"\1=\2", word) for word in arguments]
        parse_config(composed(asymrl(command, *first, "--cfg", "job")))
        return
    outcome = run(line, directory)
    assert outcome.code == 0, outcome.err
    assert "Traceback" not in outcome.err


def test_the_readmes_commands_make_what_it_says(directory: Path) -> None:
    """Runs after the commands, in the same directory."""
    made = {path.name for path in (directory / "runs/cups").iterdir()}
    named = set(re.findall(r"(\w+)/<identity>/", (ROOT / "README.md").read_text()))
    assert named >= {"prompts", "rollouts", "verdicts"}
    assert named <= made
    assert {"summary.parquet", "curves.parquet", "report.html", "figures"} <= made


@pytest.mark.parametrize("line", MAKE)
def test_every_make_command_of_the_readme_is_a_target(line: str) -> None:
    if shutil.which("make") is None:
        pytest.skip("make is not on this machine")
    help_ = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    targets = {row.split()[1] for row in help_.stdout.splitlines()}
    wanted = {word for word in words(line)[1:] if "=" not in word}
    assert wanted
    assert wanted <= targets


@pytest.mark.parametrize(
    "link", re.findall(r"\]\(((?!http)[^)#]+)", (ROOT / "README.md").read_text())
)
def test_every_file_that_the_readme_points_at_is_there(link: str) -> None:
    assert (ROOT / link).exists()

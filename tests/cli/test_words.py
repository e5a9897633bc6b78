"""Words behind a command: what is no setting gets an answer, before anything heavy is imported."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from asymrl.completion import complete
from asymrl.words import layered, quoted_text, several
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from tests.cli.test_settings import composed
from tests.fixtures.commands import asymrl, published, refused
from tests.test_startup import HEAVY

ANSWERS = {
    "sweep baselin=-0.1,0": "baselin: no such setting; did you mean baseline?",
    "train +baselin=0": "baselin: no such setting; did you mean baseline?",
    "plan lr=1e-5": "lr: no such setting; did you mean optim.lr or policy.embedded.warm_up.lr?",
    "train sampling.temprature=1": "did you mean sampling.temperature?",
    "score tsak.grader=math": "did you mean task.grader?",
    "init task=gsm8": "there is no task=gsm8; did you mean task=gsm8k?",
    "train quux=1": "quux: no such setting; 'asymrl settings WORD' lists",
    "train --baseline=-0.1": "settings are written without dashes: baseline=-0.1",
    "train --lr 3": "settings are written without dashes: optim.lr=VALUE",
    "train --frobnicate": "--frobnicate: no such option",
    "sweep baseline=-0.1 0 0.1": "joined by commas, without spaces: baseline=-0.1,0,0.1",
    "sweep baseline=-0.3, -0.1": "joined by commas, without spaces: baseline=-0.3,-0.1",
    "train baseline = -0.1": "a setting is one word, KEY=VALUE, without spaces around '='",
    "train baseline =-0.1": "a setting is one word, KEY=VALUE, without spaces around '='",
    "train baseline": "baseline: give it a value, as in baseline=VALUE",
    "train task.instruction=Answer it": "it: is neither KEY=VALUE nor an experiment's file",
    "train baseline=-0.1,0": "'asymrl sweep baseline=-0.1,0' trains an arm for each",
    "train optim.betas=0.9,0.95": "one list is optim.betas=[0.9,0.95]",
    "train task.system=Well,now": """'task.system="Well,now"'""",
    "train --cfg": "--cfg takes one of job, hydra, all",
    "sweep a.yaml b.yaml": "a command takes one experiment's file",
    "bandit baselin=0": "baselin: no such setting of asymrl bandit; did you mean baseline?",
}


@pytest.mark.parametrize("line", ANSWERS)
def test_a_slip_gets_an_answer(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    refused(asymrl(*line.split(" ")), ANSWERS[line])
    assert published(tmp_path) == {}


@pytest.mark.parametrize("command", ["sweep", "train", "run", "plan", "import", "bandit"])
def test_a_slip_costs_less_than_a_second_and_loads_nothing_heavy(command: str) -> None:
    program = (
        "import sys\nfrom asymrl.main import main\n"
        f"try:\n    main([{command!r}, 'baselin=-0.1'])\n"
        "except SystemExit as stop:\n    assert stop.code == 1\n"
        "print(*{name.split('.')[0] for name in sys.modules})\n"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert "did you mean baseline?" in ran.stderr
    assert set(ran.stdout.split()) & HEAVY == set()
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1


def test_a_sweep_prints_the_configuration_of_its_first_arm() -> None:
    outcome = asymrl("sweep", "baseline=-0.2,0", "seed=3", "--cfg", "job")
    assert composed(outcome)["baseline"] == -0.2
    assert outcome.err == "baseline: -0.2 is taken, the first of -0.2,0\n"


@pytest.mark.parametrize(
    ("word", "values"),
    [
        ("a=1", ["1"]),
        ("a=", [""]),
        ("a=1,2", ["1", "2"]),
        ("a=[1,2],[3,[4,5]]", ["[1,2]", "[3,[4,5]]"]),
        ("a={b: 1, c: 2}", ["{b: 1, c: 2}"]),
        ('a="x,y",z', ['"x,y"', "z"]),
        (r'a="x\",y"', [r'"x\",y"']),
        (r'a="x\\",y', [r'"x\\"', "y"]),
        ("a=it's,so", ["it's", "so"]),
        ('a=["p,q]",r]', ['["p,q]",r]']),
        ("a=choice(1,2)", ["choice(1,2)"]),
    ],
)
def test_commas_part_values_outside_brackets_and_quotes(word: str, values: list[str]) -> None:
    assert several(word) == values


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r")))
def test_a_quoted_text_is_the_text_to_hydra(text: str) -> None:
    override = OverridesParser.create().parse_override(f"a={quoted_text(text)}")
    assert override.value() == text
    assert several(f"a={quoted_text(text)}") == [quoted_text(text)]


def test_what_is_set_again_loses_what_it_was() -> None:
    below = ["algorithm=tis", "algorithm.clip_high=0.3", "optim.lr=1", "name=a"]
    assert layered(below, ["optim.lr=2"]) == [*below[:2], "name=a", "optim.lr=2"]
    # the group's file states clip_high itself
    assert layered(below, ["algorithm=grpo"]) == ["optim.lr=1", "name=a", "algorithm=grpo"]


class Context:
    """What the shell has of the words before."""

    def __init__(self, *words: str) -> None:
        self.params = {"settings": list(words)}
        self.args: list[str] = []


@pytest.mark.parametrize(
    ("before", "word", "found"),
    [
        ((), "optim.l", ["optim.lr="]),
        ((), "algo", ["algorithm=", *(f"algorithm.{n}=" for n in (
            "name", "function", "aggregation", "drop_groups", "kept_shares", "clip_low",
            "clip_high", "weight_limit", "tau", "kl_coefficient", "positive_weight",
            "negative_weight", "imitation", "positive_power", "positive_decay",
            "negative_power", "negative_decay", "likelihood_floor", "second_moment_limit"))]),
        ((), "algorithm=gr", ["algorithm=grpo"]),
        ((), "train.device=", ["train.device=auto", "train.device=cpu", "train.device=cuda"]),
        ((), "engine.eager=t", ["engine.eager=true"]),
        (("algorithm", "="), "gr", ["grpo"]),
        (("seed=1", "engine"), "=", ["transformers", "vllm"]),
    ],
)  # fmt: skip
def test_the_shell_completes_keys_and_values(
    before: tuple[str, ...], word: str, found: list[str]
) -> None:
    assert complete(Context(*before), word) == found  # type: ignore[arg-type]


def test_the_shell_completes_an_experiments_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "arithmetic.yaml").touch()
    assert complete(Context(), "ar") == ["arithmetic.yaml"]  # type: ignore[arg-type]


def test_the_shell_completes_through_the_program() -> None:
    words = {"COMP_WORDS": "asymrl train algorithm = gr", "COMP_CWORD": "4"}
    environment = {**os.environ, "_ASYMRL_COMPLETE": "complete_bash", **words}
    ran = subprocess.run(
        [sys.executable, "-m", "asymrl.main"], env=environment, capture_output=True, text=True
    )
    assert ran.stdout.split() == ["grpo"]


@pytest.mark.parametrize("arguments", [["-h"], ["train", "-h"]])
def test_h_is_help(arguments: list[str]) -> None:
    outcome = asymrl(*arguments)
    assert outcome.code == 0
    assert "Usage: asymrl" in outcome.out


def test_the_version_is_printed() -> None:
    from asymreinforce import __version__

    assert asymrl("--version").out == f"asymrl {__version__}\n"

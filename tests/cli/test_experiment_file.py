"""An experiment's file: written by `asymrl new`, taken by every command, its errors by line."""

from pathlib import Path
from typing import Any

import pytest
from asymrl import keys
from asymrl.experiment_file import name_of, words
from asymrl.new import TEMPLATE
from asymrl.words import settable

from asymreinforce.config import parse_config
from tests.cli.test_settings import composed
from tests.fixtures.commands import asymrl, published, refused

FILLED = ("policy.source=org/model", "task.path=questions.jsonl", "task.held_out=10")


@pytest.fixture(autouse=True)
def in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def written(text: str) -> list[str]:
    Path("a.yaml").write_text(text)
    return [settable(word) for word in words("a.yaml")]


def test_new_writes_a_file_and_never_over_another() -> None:
    assert asymrl("new", "arithmetic.yaml").code == 0
    text = Path("arithmetic.yaml").read_text()
    refused(asymrl("new", "arithmetic.yaml"), "arithmetic.yaml: is there already")
    assert Path("arithmetic.yaml").read_text() == text
    refused(asymrl("new", "arithmetic.txt"), "ends in .yaml, such as arithmetic.yaml")
    refused(asymrl("new", "absent/arithmetic.yaml"), "absent/arithmetic.yaml", "cannot be written")
    assert [path.name for path in Path().iterdir()] == ["arithmetic.yaml"]


def test_what_new_writes_says_what_is_to_be_filled_in() -> None:
    asymrl("new", "arithmetic.yaml")
    assert TEMPLATE.count(": ???") == 3
    number = Path("arithmetic.yaml").read_text().splitlines().index("policy.source: ???") + 1
    refused(
        asymrl("sweep", "arithmetic.yaml"),
        f"arithmetic.yaml, line {number}: policy.source is still ???",
    )
    assert published(Path()).keys() == {"arithmetic.yaml"}


def test_what_new_writes_composes_once_it_is_filled_in() -> None:
    asymrl("new", "my sums.yaml")
    config = parse_config(composed(asymrl("train", "my sums.yaml", *FILLED, "--cfg", "job")))
    assert config.name == "my-sums"
    assert config.task.loader == "dataset" and config.task.held_out == 10
    assert config.task.instruction and config.task.instruction.endswith(r"\boxed{}.")
    assert config.sampling.max_tokens == 1024 == config.evaluation.sampling.max_tokens
    assert config.optim.lr == 1e-6


def test_every_line_of_the_template_is_a_setting() -> None:
    asymrl("new", "a.yaml")
    given = {word.partition("=")[0] for word in FILLED}
    found = [word.partition("=")[0] for word in words("a.yaml", given=given)]
    assert len(found) == len(set(found))
    assert set(found) <= {*keys.fields(), *keys.groups()}


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("optim.lr: 1e-5", "optim.lr=1e-5"),
        ("optim:\n  lr: 2.50", "optim.lr=2.50"),
        ("baseline: [-0.3, 0]", "baseline=-0.3,0"),
        ("baseline: -0.3, 0", "baseline=-0.3,0"),
        ("algorithm: [asymre, grpo]", "algorithm=asymre,grpo"),
        ("experiment: single_24gb_qwen0.5b_lora", "experiment=single_24gb_qwen0.5b_lora"),
        ("optim.betas: [0.9, 0.95]", "optim.betas=[0.9,0.95]"),
        ("optim.steps:", "optim.steps=null"),
        ("sweep.report: no", "sweep.report=false"),
        ('task.answer_marker: "####"', 'task.answer_marker="####"'),
        ("task.instruction: Well, answer.", 'task.instruction="Well, answer."'),
        ('task.system: "007"', 'task.system="007"'),
        ("task.system: nan", 'task.system="nan"'),
        ("task.system: |\n  a\n  b\n", 'task.system="a\nb\n"'),
        ("task.params: {min: 3, names: [a, b]}", "++task.params={min: 3,names: [a,b]}"),
        ("task.sources.train.where: {kind: [x, 2]}", "++task.sources.train.where={kind: [x,2]}"),
    ],
)
def test_a_line_says_what_a_word_says(text: str, word: str) -> None:
    assert written(text) == ["name=a", word]


def value_of(values: Any, key: str) -> Any:
    for name in key.split("."):
        values = values[name]
    return values


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("optim.lr: 1e-5", "optim.lr", 1e-5),
        ("task.params: {min: 3, names: [a, b]}", "task.params", {"min": 3, "names": ["a", "b"]}),
        (r'task.system: "say \"\\boxed{}\" \\"', "task.system", """say "\\boxed{}" \\"""),
        ("task.system: |\n  a: b,\n  #c", "task.system", "a: b,\n#c"),
        ("optim.betas: [0.5, 0.6]", "optim.betas", [0.5, 0.6]),
    ],
)
def test_hydra_reads_what_the_file_says(text: str, key: str, value: Any) -> None:
    Path("a.yaml").write_text(text)
    assert value_of(composed(asymrl("train", "a.yaml", "--cfg", "job")), key) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: a\nbaselin: 0", "a.yaml, line 2: baselin: no such setting; did you mean baseline?"),
        ("optim:\n  rl: 1", "a.yaml, line 2: optim.rl: no such setting"),
        ("task: gsm8", "a.yaml, line 1: there is no task=gsm8; did you mean task=gsm8k?"),
        ("seed: 0\n\nseed: 1", "a.yaml, line 3: seed stands there twice"),
        ("seed: 0\noptim: {lr: 1, lr: 2}", "a.yaml, line 2: optim.lr stands there twice"),
        ("seed: []", "a.yaml, line 1: seed: an empty list"),
        ("- a\n- b", "a.yaml: holds no lines KEY: VALUE"),
        ("a: [", "a.yaml: not valid YAML: line"),
        ("a=1: 2", "a.yaml, line 1: a=1: a line is KEY: VALUE"),
        ("hydra: {mode: RUN}", "a.yaml, line 1: hydra: a line is KEY: VALUE"),
    ],
)
def test_an_error_names_file_line_and_key(text: str, message: str) -> None:
    Path("a.yaml").write_text(text)
    refused(asymrl("sweep", "a.yaml"), message)


def test_a_value_out_of_range_names_its_key() -> None:
    Path("a.yaml").write_text("optim.lr: -1")
    refused(asymrl("train", "a.yaml"), "optim.lr")


def test_the_command_line_stands_above_the_file() -> None:
    Path("a.yaml").write_text("seed: 1\noptim.lr: 1\nalgorithm: grpo\nalgorithm.clip_high: 0.3")
    given = ("a.yaml", "optim.lr=2", "--cfg", "job")
    values = composed(asymrl("train", *given))
    assert (values["seed"], values["optim"]["lr"], values["name"]) == (1, 2, "a")
    assert values["algorithm"]["clip_high"] == 0.3
    assert composed(asymrl("train", *given, "algorithm=ppo"))["algorithm"]["clip_high"] != 0.3


def test_one_arm_takes_the_first_of_what_the_file_sweeps() -> None:
    Path("a.yaml").write_text("baseline: [-0.3, 0.1]\nseed: [4, 5]")
    outcome = asymrl("train", "a.yaml", "baseline=-0.2", "--cfg", "job")
    values = composed(outcome)
    assert (values["baseline"], values["seed"]) == (-0.2, 4)
    assert outcome.err == "seed: 4 is taken, the first of 4,5\n"


@pytest.mark.parametrize(
    ("file", "name"), [("a b.yaml", "a-b"), (".x.yml", "x"), ("é.yaml", "experiment")]
)
def test_an_experiment_is_named_by_its_file(file: str, name: str) -> None:
    assert name_of(Path(file)) == name

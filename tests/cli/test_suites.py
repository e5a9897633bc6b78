"""How suites are said: a list of tasks, or a mapping; and what is said of a slip."""

from pathlib import Path
from typing import Any

import asymrl
import pytest
import yaml
from asymrl.overrides import prepared

from asymreinforce.config import ExperimentConfig
from asymreinforce.errors import ConfigError

LONG = "policy.context=8192"


def loaded(*words: str, file: Path | None = None) -> ExperimentConfig:
    return asymrl.load(*([str(file)] if file else []), LONG, *words)


def test_a_list_names_presets_of_tasks_and_lengths_are_those_of_each_task() -> None:
    config = loaded("evaluation.suites=[math500,gsm8k]", "evaluation.sampling.temperature=0.6")
    suites = config.evaluation.suites
    assert list(suites) == ["math500", "gsm8k"]
    assert suites["math500"].task == asymrl.load("task=math500", "policy.source=x", LONG).task
    assert suites["gsm8k"].task == asymrl.load("task=gsm8k", "policy.source=x", LONG).task
    assert [suite.sampling.max_tokens for suite in suites.values()] == [2048, 512]
    assert {suite.sampling.temperature for suite in suites.values()} == {0.6}
    assert config.evaluation.sampling.max_tokens == 16  # the main evaluation's own


def test_one_name_is_a_list_of_one_and_no_suite_is_the_default() -> None:
    assert list(loaded("evaluation.suites=aime24").evaluation.suites) == ["aime24"]
    assert loaded().evaluation.suites == {}
    assert loaded("evaluation.suites={}").evaluation.suites == {}


def test_a_suite_has_settings_of_its_own_over_a_preset() -> None:
    suite = loaded(
        "evaluation.suites.amc.task.preset=file",
        "evaluation.suites.amc.task.path=amc.jsonl",
        "evaluation.suites.amc.prompts=40",
        "evaluation.suites.amc.sampling.samples_per_prompt=16",
        "evaluation.suites.amc.sampling.max_tokens=300",
        "evaluation.suites.amc.checkpoints=all",
    ).evaluation.suites["amc"]
    assert (suite.task.name, suite.task.grader, suite.task.path) == (
        "amc",
        "math",
        Path("amc.jsonl"),
    )
    assert (suite.prompts, suite.checkpoints) == (40, "all")
    assert (suite.sampling.samples_per_prompt, suite.sampling.max_tokens) == (16, 300)


FILES: list[Any] = [
    {"evaluation": {"suites": ["math500", "aime24"]}},
    {"evaluation.suites": {"math500": {"task": "math500"}, "aime24": None}},
    {"evaluation": {"suites": {"math500": {}, "aime24": {"task": {"preset": "aime24"}}}}},
    {"evaluation.suites.math500.task": "math500", "evaluation.suites.aime24.task": "aime24"},
]


@pytest.mark.parametrize("values", FILES)
def test_an_experiment_s_file_says_it_in_each_of_these_ways(values: Any, tmp_path: Path) -> None:
    file = tmp_path / "sums.yaml"
    file.write_text(
        yaml.safe_dump({"task": "cups", "policy.source": "embedded"} | values, sort_keys=False)
    )
    suites = loaded(file=file).evaluation.suites
    assert suites == loaded("evaluation.suites=[math500,aime24]", file=file).evaluation.suites
    assert list(suites) == ["math500", "aime24"]


def test_a_list_takes_the_place_of_a_file_s_and_a_setting_adds_to_it(tmp_path: Path) -> None:
    file = tmp_path / "sums.yaml"
    base = "task: cups\npolicy.source: embedded\n"
    file.write_text(base + "evaluation.suites: [math500, aime24]\n")
    more = loaded("evaluation.suites.math500.prompts=9", "evaluation.suites.gsm8k={}", file=file)
    assert list(more.evaluation.suites) == ["math500", "aime24", "gsm8k"]
    assert more.evaluation.suites["math500"].prompts == 9
    assert list(loaded("evaluation.suites=[gsm8k]", file=file).evaluation.suites) == ["gsm8k"]
    assert loaded("evaluation.suites={}", file=file).evaluation.suites == {}
    file.write_text(base + "evaluation.suites.math500.prompts: 9\n")
    assert list(loaded("evaluation.suites=[gsm8k]", file=file).evaluation.suites) == ["gsm8k"]
    assert loaded("evaluation.suites={}", file=file).evaluation.suites == {}


SLIPS = {
    "evaluation.suites=[maht500]": ("evaluation.suites.maht500.task", "did you mean task=math500"),
    "evaluation.suites=[math500,math500]": ("names a task twice",),
    "evaluation.suites=[{a: 1}]": ("a list holds names of tasks", "{NAME: {task: math500, ...}}"),
    "evaluation.suites=3": ("as in [math500,aime24]",),
    "evaluation.suites.math500=3": ("evaluation.suites.math500", "is a mapping"),
    "evaluation.suites.a.task=[1]": ("evaluation.suites.a.task", "is the name of a task"),
    "evaluation.suites.a.prompts=3": ("there is no task=a", "{task: {preset: file, path: FILE}}"),
    "evaluation.suites.a.task={preset: function}": ("suites.a.task.kind", "must be given"),
    "evaluation.suites.a.task={path: a.jsonl}": ("a.task.held_out", "name a task to begin with"),
    "evaluation.suites.math500.prompts=0": ("suites.math500.prompts", "greater than or equal to 1"),
    "evaluation.suites.math500.split=train": ("task.train=0 leaves it no question",),
    "evaluation.suites.math500.split=test": ("evaluation.suites.math500.split",),
    "evaluation.suites.imported={}": ("task=imported has no questions of its own",),
    "evaluation.suites.math500.sampling.max_tokens=9999": ("must be below policy.context (8192)",),
    "evaluation.suites.math500.sampling.temprature=1": ("temprature", "no such setting"),
    "evaluation.suites.a.task={preset: math500, gradr: 1}": ("a.task.gradr", "no such setting"),
    "evaluation.suites={a b: {task: math500}}": ("evaluation.suites",),
    "evaluation.suite=[math500]": ("did you mean evaluation.suites",),
}


@pytest.mark.parametrize("word", SLIPS)
def test_a_slip_is_answered_by_what_where_and_how(word: str) -> None:
    with pytest.raises(ConfigError) as error:
        loaded(word)
    for words in SLIPS[word]:
        assert words in str(error.value)


def test_names_without_brackets_are_no_sweep() -> None:
    for command in ("sweep", "evaluate"):
        with pytest.raises(ConfigError, match=r"one list is evaluation\.suites=\[math500,aime24\]"):
            prepared(command, ["evaluation.suites=math500,aime24"])


def test_a_sweep_over_arms_has_the_suites_in_each() -> None:
    arms = asymrl.load_arms("evaluation.suites=[math500]", "seed=0,1", LONG)
    assert [list(arm.evaluation.suites) for arm in arms] == [["math500"], ["math500"]]

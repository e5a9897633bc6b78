"""Settings: what Hydra composes, what the models refuse, what a message says."""

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from asymrl.bridge import conf_directory
from asymrl.commands import with_default_sweep
from asymrl.defaults import defaults_of
from omegaconf import OmegaConf

from asymreinforce.config import ExperimentConfig, parse_config
from asymreinforce.config.settings import flatten_settings
from tests.fixtures.commands import Outcome, asymrl, published, refused, tiny

CONF = conf_directory()
PRESET = CONF / "experiment/cups.yaml"
"""The default experiment; what it names goes over the groups' own values."""
DATA_SETS = ("gsm8k", "math", "math500", "numina", "aime24", "file")
OWN_MODEL = "policy.source=org/model"
UNNAMED = {
    "model/checkpoint": ("policy.source=org/model", "task=gsm8k"),
    "experiment/neutral": ("policy.source=org/model", "task=gsm8k"),
    "task/reasoning_gym": ("task.name=chain_sum", OWN_MODEL),
    "task/function": ("task.kind=my_tasks:questions", OWN_MODEL),
    "task/imported": ("source.path=rollouts.jsonl", OWN_MODEL),
    "sampling/neutral": ("sampling.max_tokens=16",),
    **{f"task/{name}": (OWN_MODEL,) for name in DATA_SETS},
    "sampling/paper": ("policy.context=4096",),
}
"""Values for what a file leaves to the user (???), and what 2,048 tokens need."""
FILES = sorted(str(path.relative_to(CONF).with_suffix("")) for path in CONF.glob("*/*.yaml"))
GROUPS = [file for file in FILES if not file.startswith("bandit_experiment/")]
PRESETS = [file for file in FILES if file.startswith("bandit_experiment/")]
COMMANDS = ["init", "generate", "score", "train", "evaluate"]


def read_yaml(path: Path) -> Any:
    """What a file of the configuration says itself, interpolations left as they are."""
    return OmegaConf.to_container(OmegaConf.load(path))


def composed(outcome: Outcome) -> Any:
    """The configuration that `--cfg job` printed, interpolations resolved."""
    assert outcome.code == 0, outcome.err
    return OmegaConf.to_container(OmegaConf.create(outcome.out), resolve=True)


@pytest.mark.parametrize("file", GROUPS)
def test_every_file_of_every_group_composes_and_validates(file: str) -> None:
    group, name = file.split("/")
    values = composed(asymrl("train", f"{group}={name}", *UNNAMED.get(file, ()), "--cfg", "job"))
    parsed = parse_config(values)
    own = read_yaml(CONF / f"{file}.yaml")
    is_global = (CONF / f"{file}.yaml").read_text().startswith("# @package _global_")
    package = "" if is_global else {"model": "policy"}.get(group, group)
    dumped = parsed.model_dump(mode="json")
    if is_global and group != "experiment":
        dumped, own = dumped | dumped[group], own | own[group]
    part = dumped[package] if package else dumped
    preset = {} if group == "experiment" else read_yaml(PRESET).get(package, {})
    named = [k for k, v in own.items() if k not in {"defaults", *preset} and "${" not in str(v)]
    named = [k for k in named if own[k] not in ("???", None)]
    assert named
    for key in named:
        if not isinstance(own[key], dict | list):
            number = _is_number(own[key])
            assert part[key] == (pytest.approx(float(own[key])) if number else own[key])


ON_GPU = ["h200_qwen3b", "paper_llama8b_math", "paper_qwen3b_math", "single_24gb_qwen0.5b_lora"]


@pytest.mark.parametrize("name", ON_GPU)
def test_a_shard_of_an_experiment_for_gpus_keeps_an_engine_busy(name: str) -> None:
    """Of a shard that is decoded at once, few are at work when the longest ends: so on Ray."""
    given = [f"experiment={name}", *UNNAMED.get(f"experiment/{name}", ())]
    settings = parse_config(composed(asymrl("train", *given, "--cfg", "job")))
    completions = settings.sampling.samples_per_block * settings.sampling.prompts_per_shard
    assert completions >= 4 * settings.engine.max_sequences


SAID_BY_NAME = {
    "plan/h100": {"plan.gpu"},
    "reward/plus_minus_one": {"reward.correct", "reward.incorrect"},
    "tracker/none": {"tracker.name"},
}
"""Defaults that a file states all the same, since it is named after them."""
CHOSEN = [file for file in GROUPS if file.split("/")[0] not in ("algorithm", "experiment")]


def stated(file: str) -> dict[str, Any]:
    """What a group's file says, as flat settings."""
    group = file.split("/")[0]
    values = read_yaml(CONF / f"{file}.yaml")
    values.pop("defaults", None)
    return flatten_settings(values, prefix=f"{ {'model': 'policy'}.get(group, group) }.")


NOT_SETTINGS = ("defaults", "hydra")


def test_what_no_file_states_is_the_models_default() -> None:
    """The base of every configuration is made of the models, and all settings are in it."""
    printed = flatten_settings(composed(asymrl("train", "--cfg", "job")))
    base = flatten_settings(defaults_of(ExperimentConfig))
    assert base.keys() - printed.keys() == {"task.kind"}  # tasks name their own
    defaults = [pair for pair in read_yaml(CONF / "config.yaml")["defaults"] if pair != "settings"]
    files = [f"{k}/{v}" for pair in defaults if isinstance(pair, dict) for k, v in pair.items()]
    own = {k: v for k, v in read_yaml(CONF / "config.yaml").items() if k not in NOT_SETTINGS}
    said = {*flatten_settings(own), *flatten_settings(read_yaml(PRESET))}
    for file in files:
        if file in CHOSEN:
            said |= stated(file).keys()
    rest = {key: value for key, value in printed.items() if key not in said}
    assert len(rest) > 150
    assert rest.pop("evaluation.suites") is None  # a list or a mapping, so that Hydra keeps neither
    assert rest == {key: base[key] for key in rest}


@pytest.mark.parametrize("file", CHOSEN)
def test_no_group_states_a_default_again(file: str) -> None:
    base = flatten_settings(defaults_of(ExperimentConfig))
    again = {key for key, value in stated(file).items() if key in base and base[key] == value}
    assert again == SAID_BY_NAME.get(file, set()) | ({"policy.source"} & again)


def test_a_setting_that_every_configuration_has_may_be_added_as_well() -> None:
    values = composed(asymrl("train", "engine=transformers", "+engine.eager=false", "--cfg", "job"))
    assert values["engine"]["eager"] is False


def _is_number(value: object) -> bool:
    try:
        float(str(value))
    except ValueError:
        return False
    return not isinstance(value, bool)


@pytest.mark.parametrize("file", PRESETS)
def test_every_preset_of_the_theory_bench_composes_and_validates(file: str) -> None:
    from asymreinforce.bandit.config import parse_settings as parse_bandit

    name = file.split("/")[1]
    values = composed(asymrl("bandit", f"experiment={name}", "--cfg", "job"))
    for key in ("directory", "runs_dir"):
        values.pop(key)
    assert parse_bandit(values).experiment == name


def test_every_group_of_the_configuration_has_a_file_that_is_the_default() -> None:
    chosen = read_yaml(CONF / "config.yaml")["defaults"]
    pairs = [pair for pair in chosen if isinstance(pair, dict)]
    groups = {k: v for pair in pairs for k, v in pair.items() if not k.startswith("override")}
    assert {f"{group}/{name}" for group, name in groups.items()} <= set(GROUPS)
    assert set(groups) == {file.split("/")[0] for file in GROUPS}


@pytest.mark.parametrize("command", [*COMMANDS, "sweep", "bandit"])
def test_cfg_job_prints_the_configuration_and_does_nothing(command: str, tmp_path: Path) -> None:
    outcome = asymrl(command, f"runs_dir={tmp_path}/runs", "--cfg", "job")
    assert composed(outcome)["runs_dir"] == f"{tmp_path}/runs"
    assert published(tmp_path) == {}


def test_the_swept_number_is_called_baseline_and_defaults_to_just_below_the_mean() -> None:
    values = parse_config(composed(asymrl("train", "--cfg", "job")))
    assert (values.baseline, values.baseline_reference, values.algorithm.name) == (
        -0.1,
        "group_mean",
        "asymre",
    )


WRONG = {
    "optim.learning_rate=1": ("optim.learning_rate: no such setting", "asymrl settings"),
    "+optim.learning_rate=1": ("optim.learning_rate: no such setting", "asymrl settings"),
    "+lr=1": ("lr: no such setting", "optim.lr"),
    "engine=llama": ("engine", "llama", "vllm"),
    "optim=nowhere": ("nowhere", "embedded", "paper"),
    "optim.lr=0": ("optim.lr", "greater than 0", "given: 0"),
    "optim.lr=-1e-4": ("optim.lr", "greater than 0"),
    "optim.lr=fast": ("optim.lr", "number", "fast"),
    "optim.lr=nan": ("optim.lr", "finite"),
    "baseline=inf": ("baseline", "finite"),
    "seed=-1": ("seed", "greater than or equal to 0"),
    "sampling.top_p=1.5": ("sampling.top_p", "less than or equal to 1"),
    "sampling.samples_per_prompt=0": ("sampling.samples_per_prompt", "at least|greater than"),
    "sampling.samples_per_prompt=7": ("trajectories_per_step (128)", "multiple", "(7)"),
    "baseline_reference=median": ("baseline_reference", "group_mean", "leave_one_out"),
    "reward.incorrect=2": ("reward.correct must be above",),
    "reward.truncated=maybe": ("reward.truncated", "as_judged"),
    "train.device=tpu": ("train.device", "cuda"),
    "name=../elsewhere": ("name", "pattern"),
    "policy.context=16": ("max_tokens (16)", "policy.context (16)"),
    "optim.betas=[1.5,0.9]": ("optim.betas.0", "less than 1"),
    "optim.betas=[0.9,1]": ("optim.betas.1", "less than 1"),
    "optim.betas=[-0.1,0.9]": ("optim.betas.0", "greater than or equal to 0"),
    "policy.embedded.warm_up.betas=[0.9,2]": ("policy.embedded.warm_up.betas.1", "less than 1"),
    "seed=18446744073709551616": ("seed", "2**63"),
    "sampling.seed=-9223372036854775809": ("sampling.seed", "2**63"),
    "policy.seed=9223372036854775808": ("policy.seed", "2**63"),
    "train.audit_rollouts=100000000000000000000": ("train.audit_rollouts", "2**63"),
    "optim.grad_clip=1e308": ("optim.grad_clip", "3.4e+38"),
    "optim.grad_clip=1e-320": ("optim.grad_clip", "1.2e-38"),
    "optim.lr=1e-40": ("optim.lr", "1.2e-38"),
    "sampling.temperature=0.001": ("sampling.temperature", "0 (greedy), or at least 0.01"),
    "evaluation.sampling.temperature=1e30": ("evaluation.sampling.temperature", "100"),
    "reward.memory_limit_mb=9223372036854775807": ("reward.memory_limit_mb", "10000000"),
    "sampling.samples_per_block=9000000000000": ("sampling.samples_per_block", "1000000"),
    "reward.correct=1e308": ("reward.correct", "1000000000"),
    "baseline=-1e39": ("baseline", "3.4e+38"),
    "evaluation.split=train": ("evaluation.train_prompts=0", "evaluates the training prompts"),
    "sampling.samples_per_prompt=true": ("sampling.samples_per_prompt", "not a truth value"),
    "baseline": ("baseline", "baseline=VALUE"),
    "sampling.max_tokens=[": ("sampling.max_tokens",),
    "baseline=-0.1,0": ("asymrl sweep baseline=-0.1,0",),
}


@pytest.mark.parametrize("setting", WRONG)
def test_a_wrong_setting_is_one_message_and_nothing_is_made(setting: str, tmp_path: Path) -> None:
    message = refused(asymrl("train", f"runs_dir={tmp_path}/runs", setting))
    for words in WRONG[setting]:
        assert any(word in message for word in words.split("|")), message
    assert published(tmp_path) == {}


@pytest.mark.parametrize("command", [*COMMANDS, "sweep"])
def test_every_command_refuses_an_unknown_key(command: str, tmp_path: Path) -> None:
    setting = "sampling.temprature=1"
    refused(asymrl(command, f"runs_dir={tmp_path}/runs", setting), "sampling.temprature")
    assert published(tmp_path) == {}


def test_a_wrong_arm_of_a_sweep_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    refused(asymrl("sweep", f"runs_dir={tmp_path}/runs", "optim.lr=1e-4,-1"), "optim.lr")
    assert published(tmp_path) == {}


@pytest.mark.parametrize("order", [["--cfg", "job", "seed=3"], ["seed=3", "--cfg", "job"]])
@pytest.mark.parametrize("command", ["train", "sweep"])
def test_settings_stand_before_or_after_options(command: str, order: list[str]) -> None:
    assert composed(asymrl(command, *order))["seed"] == 3


PAPER = ["baseline=-0.5,-0.3,-0.2,-0.1,0,0.1,0.2,0.3", "replicate=0,1,2"]


@pytest.mark.parametrize(
    ("given", "added"),
    [
        ([], PAPER),
        (["optim.lr=1e-4"], PAPER),
        (["optim.betas=[0.9,0.95]"], PAPER),
        (["optim.lr=1e-4,1e-3"], []),
        (["optim.betas=[0.9,0.95],[0.9,0.98]"], []),
        (["baseline=0"], []),
        (["seed=1"], []),
    ],
)
def test_a_sweep_of_nothing_is_the_papers(given: list[str], added: list[str]) -> None:
    assert with_default_sweep(given) == [*given, *added]


def test_an_unknown_objective_is_refused_with_those_there_are(runs_dir: Path) -> None:
    before = published(runs_dir)
    refused(tiny("train", runs_dir, "algorithm.name=ppo2"), "ppo2", "asymre", "positives_only")
    assert published(runs_dir) == before


def test_an_unknown_grader_is_refused_with_those_there_are(runs_dir: Path) -> None:
    before = published(runs_dir)
    for command in ("init", "generate", "score"):
        refused(tiny(command, runs_dir, "task.grader=oracle"), "oracle", "final_answer")
    assert published(runs_dir) == before


def test_an_unknown_command_or_option_is_named() -> None:
    for arguments in (["trian"], ["report", "--speed=3"]):
        outcome = asymrl(*arguments)
        assert outcome.code == 2
        assert arguments[-1].split("=")[0] in outcome.err
        assert "Traceback" not in outcome.err


def test_a_process_ends_with_exit_code_1_and_one_message(tmp_path: Path) -> None:
    """The same through the operating system: what a shell sees."""
    command = [sys.executable, "-m", "asymrl.main", "train", "optim.lr=-1", f"runs_dir={tmp_path}"]
    root = Path(__file__).parents[2]
    ran = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith("error: the configuration is not valid:\n  optim.lr: ")
    assert len(ran.stderr.splitlines()) == 2


@pytest.mark.parametrize(
    ("setting", "advice"),
    [
        ("task.template=Q: {question}", "'task.template=\"Q: {question}\"'"),
        (r"task.instruction=put it in \boxed{}", r"""'task.instruction="put it in \boxed{}"'"""),
        ("task.answer_marker==", "'task.answer_marker=\"=\"'"),
        ("task.answer_marker=####", "'task.answer_marker=\"####\"'"),
    ],
)
def test_a_value_that_hydra_cannot_read_is_shown_quoted(setting: str, advice: str) -> None:
    task = ("task=file", OWN_MODEL, "--cfg", "job")
    outcome = asymrl("train", setting, *task)
    assert outcome.code == 1
    assert f"quote the value, once for Hydra and once for the shell: {advice}" in outcome.err
    (word,) = shlex.split(advice)
    key, _, value = setting.partition("=")
    found: Any = composed(asymrl("train", word, *task))
    for name in key.split("."):
        found = found[name]
    assert found == value


def test_a_home_directory_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    values = composed(asymrl("train", "runs_dir=~/x", "--cfg", "job"))
    assert values["runs_dir"] == f"{tmp_path}/x"
    assert parse_config({**values, "runs_dir": "~/y"}).runs_dir == tmp_path / "y"

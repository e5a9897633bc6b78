"""Credentials are never written down, and nothing that a directory holds is unpickled."""

import ast
import os
import pickle
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from asymreinforce import credentials
from asymreinforce.errors import ConfigError
from tests.fixtures.commands import asymrl, refused, tiny

HF, WANDB = "hf_PlantedTokenOfATest0123456789", "0123456789abcdef0123456789abcdef01234567"
TOKENS = [
    "github_pat_11ABCDEFG0abcdefghijkl_mnopqrstuvwxyz",
    "glpat-abcdefghij0123456789",
    "xoxb-1234567890-abcdefghij",
    "AKIAABCDEFGHIJKLMNOP",
    "ya29.a0AfH6SMBabcdefghijklmnop",
    "https://host/data?access_token=abcdef012345",
    "AIzaSyA1234567890abcdefghijklmnopqrstuv",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2ln",
    "-----BEGIN OPENSSH PRIVATE KEY-----",
    "Authorization Bearer abcdef0123456789abcdef",
]
ROOT = Path(__file__).parents[2]


class Bomb:
    """Unpickled, it leaves a file behind."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def test_tokens_in_the_environment_reach_no_file_and_no_output(
    made_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", HF)
    monkeypatch.setenv("WANDB_API_KEY", WANDB)
    runs_dir = Path(shutil.copytree(made_once, tmp_path / "runs"))
    outcomes = [
        tiny("train", runs_dir, "seed=3"),
        tiny("train", runs_dir, "seed=4", "optim.lr=1e30"),
        tiny("evaluate", runs_dir),
        asymrl("report", str(runs_dir / "cups")),
        asymrl("env"),
    ]
    assert [outcome.code for outcome in outcomes][2:] == [1, 0, 0]
    assert "the summary lacks 1 of its arms" in outcomes[2].err  # the one that left all numbers
    for text in (HF, WANDB):
        assert not any(text in outcome.out + outcome.err for outcome in outcomes)
        found = [p for p in runs_dir.rglob("*") if p.is_file() and text.encode() in p.read_bytes()]
        assert found == []
    assert len(list(runs_dir.rglob("report.html"))) == 1


@pytest.mark.parametrize(
    ("setting", "secret"),
    [
        ("policy.source='https://me:pass-word@host/model'", "pass-word"),
        (f"policy.source={HF}", HF),
        ("task.grader=planted-in-the-environment", "planted-in-the-environment"),
        *((f"task.system='{text}'", text) for text in TOKENS),
    ],
)
def test_a_setting_that_holds_a_credential_is_refused_and_not_repeated(
    setting: str, secret: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "planted-in-the-environment")
    outcome = tiny("init", tmp_path / "runs", setting)
    refused(outcome, setting.split("=")[0], "holds a password or a token", "HF_TOKEN")
    assert secret not in outcome.out + outcome.err
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("command", ["sweep", "run", "plan", "train", "bandit"])
def test_a_setting_is_searched_before_anything_is_written_down(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = asymrl(command, f"+task.any={HF}", "seed=0,1", "hydra.sweep.dir=here")
    refused(outcome, "task.any: holds a password or a token")
    assert HF not in outcome.out + outcome.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("word", ["{}", "--token={}", "--token {}", "seed=0 {}", "task={}"])
def test_an_answer_to_a_slip_repeats_no_credential(word: str) -> None:
    outcome = asymrl("train", *word.format(HF).split())
    refused(outcome, "holds a password or a token")
    assert HF not in outcome.out + outcome.err


def test_an_error_of_an_experiments_file_repeats_no_credential(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.yaml").write_text(f"seed: 0\ntask: {HF}\n")
    outcome = asymrl("train", "a.yaml")
    refused(outcome, "a.yaml, line 2: task: holds a password or a token")
    assert HF not in outcome.out + outcome.err


@pytest.mark.parametrize("command", ["init", "train", "sweep", "run", "plan", "bandit"])
def test_a_setting_takes_no_unlisted_variable_of_the_environment(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_SERVICE", "opaque-value")
    monkeypatch.chdir(tmp_path)
    outcome = asymrl(command, "runs_dir=${oc.env:MY_SERVICE}", "seed=0")
    refused(outcome, "${oc.env:MY_SERVICE}", "only HOME, USER, SCRATCH")
    assert "opaque-value" not in outcome.out + outcome.err
    written = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any("opaque-value" in text for text in written)


def test_a_setting_may_take_a_listed_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCRATCH", str(tmp_path))
    arguments = ("runs_dir=${oc.env:SCRATCH}/runs", "name=${oc.env:SLURM_JOB_NAME,one}")
    outcome = asymrl("train", *arguments, "--cfg", "job", "--resolve")
    assert f"runs_dir: {tmp_path}/runs" in outcome.out.splitlines()
    assert "name: one" in outcome.out.splitlines()


def test_addresses_and_short_flags_are_no_credentials() -> None:
    environment = {"TOKENIZERS_PARALLELISM": "false", "PATH": "/usr/bin"}
    values = {"a": "https://host:8080/x@y", "b": "me@host", "c": ["node0:29500"], "d": "false"}
    credentials.require_none(values, environment)
    with pytest.raises(ConfigError, match=r"^a\.b: "):
        credentials.require_none({"a": {"b": ["ssh://u:p@h"]}}, {})


def test_nothing_in_the_package_unpickles() -> None:
    """No import of pickle or its kin, no allow_pickle, and torch.load of tensors alone."""
    found = []
    for path in [*(ROOT / "asymreinforce").rglob("*.py"), *(ROOT / "cli").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            elif isinstance(node, ast.Call):
                given = [ast.unparse(key) for key in node.keywords]
                names = [ast.unparse(node.func), *(key.arg or "" for key in node.keywords)]
                if "weights_only=True" in given:  # torch's own reader, which runs no code
                    names.remove("torch.load")
            banned = {"pickle", "dill", "cloudpickle", "shelve", "marshal", "torch.load"}
            found += [(path.name, n) for n in names if n in banned or n == "allow_pickle"]
    # A child of a slot is sent its work by the process that started it, over a socket of their own.
    assert found == [("children.py", "pickle")]


@pytest.mark.parametrize("name", ["pytorch_model.bin", "training_args.bin", "state.pt", "x.pkl"])
def test_a_pickle_planted_in_every_directory_is_never_opened(
    name: str, made_once: Path, tmp_path: Path
) -> None:
    runs_dir = Path(shutil.copytree(made_once, tmp_path / "runs"))
    bomb = pickle.dumps(Bomb(tmp_path / "mark"))
    for directory in [path for path in runs_dir.rglob("*") if path.is_dir()]:
        (directory / name).write_bytes(bomb)
    for command in ("train", "score", "generate"):
        outcome = tiny(command, runs_dir, "seed=5")
        assert "Traceback" not in outcome.err + outcome.out
    assert not (tmp_path / "mark").exists()
    with pytest.raises(FileExistsError):  # it would have worked
        pickle.loads(bomb)
        pickle.loads(bomb)


@pytest.mark.parametrize("text", ["x" * 10**6, "a://" + ":" * 10**6, "a://b:" * 10**5])
def test_a_setting_of_megabytes_is_gone_over_once(text: str) -> None:
    """It took hours where each letter began a new search to the end."""
    started = time.process_time()
    credentials.require_none({"policy": {"source": text}}, {})
    assert time.process_time() - started < 5
    with pytest.raises(ConfigError, match="holds a password"):
        credentials.require_none({"policy": {"source": text + "a://b:c@d"}}, {})

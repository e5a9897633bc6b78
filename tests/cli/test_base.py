"""On which base a command works: the embedded default if nothing is chosen, else a neutral one."""

from pathlib import Path
from typing import Any

import pytest
from asymrl.bridge import with_base

from asymreinforce.config import ExperimentConfig, parse_config
from tests.cli.test_settings import composed
from tests.fixtures.commands import asymrl, published, refused

MODEL = "policy.source=org/model"


def settings(*given: str) -> ExperimentConfig:
    return parse_config(composed(asymrl("train", *given, "--cfg", "job")))


@pytest.mark.parametrize(
    "given",
    [
        [],
        ["baseline=-0.1,0", "seed=0"],
        ["optim.lr=1e-5", "name=mine", "sampling=paper", "--cfg", "job"],
        ["task=cups", "model=embedded"],
        ["policy.source=embedded", "source.path=null"],
        ["experiment=h200_qwen3b", "task=numina"],
        ["experiment=refresh", "policy.source=DIR"],
    ],
)
def test_where_nothing_or_an_experiment_is_chosen_the_base_stays(given: list[str]) -> None:
    assert with_base(given) == given


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (["task=gsm8k"], "gsm8k"),
        (["task=math,gsm8k"], "math-gsm8k"),
        (["+task=math"], "math"),
        (["task=reasoning_gym", "task.name=chain_sum"], "chain_sum"),
        (["task=file", "task.path=data/my problems.v2.jsonl"], "my-problems"),
        (["task=file", "task.sources.train.hub=owner/set"], "set"),
        (["model=checkpoint", "policy.source=DIR"], "mine"),
        (["policy.source=DIR", "source.path='runs of/a.jsonl.gz'"], "a"),
        (["source.path=../..", "model=embedded"], "mine"),
        (["experiment=neutral"], "mine"),
    ],
)
def test_one_s_own_work_gets_the_neutral_base_and_the_name_of_its_file_or_task(
    given: list[str], name: str
) -> None:
    base = [] if "experiment=neutral" in given else ["experiment=neutral"]
    assert with_base(given) == [*given, *base, f"name={name}"]
    assert with_base([*given, "name=other"]) == [*given, "name=other", *base]


def test_the_default_is_the_embedded_one_as_before() -> None:
    found = settings()
    values = (found.name, found.train.device, found.train.precision, found.sampling.max_tokens)
    assert values == ("cups", "cpu", "float32", 16)
    assert (found.optim.lr, found.optim.trajectories_per_step) == (1e-4, 128)
    assert (found.train.validation_prompts, found.train.checkpoint_every) == (100, 30)


def test_nothing_of_the_embedded_default_stands_under_one_s_own_task() -> None:
    found = settings("task=gsm8k", MODEL)
    assert (found.name, found.train.device, found.train.precision) == ("gsm8k", "auto", "auto")
    assert found.sampling.max_tokens == found.evaluation.sampling.max_tokens == 512
    assert (found.optim.lr, found.optim.trajectories_per_step) == (1e-6, 64)
    assert (found.train.validation_prompts, found.evaluation.train_prompts) == (0, 0)


@pytest.mark.parametrize(
    ("given", "tokens"),
    [
        (("task=math",), 2048),
        (("task=file",), 1024),
        (("task=file", "policy.context=512"), 256),
        (("task=file", "task.completion_tokens=300"), 300),
        (("task=math", "sampling.max_tokens=700"), 700),
        (("task=cups",), 16),
    ],
)
def test_completions_are_as_long_as_the_task_needs(given: tuple[str, ...], tokens: int) -> None:
    found = settings(*given, MODEL)
    assert found.sampling.max_tokens == found.evaluation.sampling.max_tokens == tokens


@pytest.mark.parametrize(
    ("given", "prompts"),
    [
        (("task=file", "task.validation=20"), 20),
        (("task=reasoning_gym", "task.name=chain_sum"), 100),
        (("source.path=a.jsonl",), 0),
        (("source.path=a.jsonl", "source.validation=7"), 7),
        (("task=file", "task.validation=20", "train.validation_prompts=5"), 5),
    ],
)
def test_checkpoints_are_validated_on_the_questions_that_are_there(
    given: tuple[str, ...], prompts: int
) -> None:
    assert settings(*given, MODEL).train.validation_prompts == prompts


@pytest.mark.parametrize(
    ("samples", "block"), [(8, 8), (16, 8), (4, 4), (12, 4), (1, 1), (2, 2), (24, 8)]
)
def test_blocks_make_exactly_the_samples_that_are_asked_for(samples: int, block: int) -> None:
    found = settings(f"sampling.samples_per_prompt={samples}", "optim.trajectories_per_step=48")
    assert found.sampling.samples_per_block == block
    assert samples % block == 0


WRONG: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "imported rollouts without a model": (
        ("source.path=a.jsonl",),
        ("policy.source", "no model is named", "tokenizer", "model=embedded"),
    ),
    "a task without a model": (("task=gsm8k",), ("policy.source", "no model is named")),
    "a model without questions": ((MODEL,), ("no questions", "task=file", "source.path")),
    "a family without a name": (("task=reasoning_gym", MODEL), ("task.name", "missing")),
    "imported rollouts on the embedded questions": (
        ("source.path=a.jsonl", MODEL, "task=cups"),
        ("embedded task", "source.held_out=N", "task=file", "evaluation.prompts=0"),
    ),
    "imported rollouts on half of them": (
        ("source.path=a.jsonl", MODEL, "task=cups", "source.held_out=5"),
        ("the validation questions would be the embedded",),
    ),
    "validation without a question": (
        ("source.path=a.jsonl", MODEL, "train.validation_prompts=5"),
        ("source.validation", "train.validation_prompts=0"),
    ),
}


@pytest.mark.parametrize("command", ["import", "train"])
@pytest.mark.parametrize("case", WRONG)
def test_what_would_be_judged_on_something_else_is_refused_before_any_work(
    case: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def warm_up(*_: Any, **__: Any) -> None:
        raise AssertionError("nothing is made")

    monkeypatch.setattr("asymreinforce.stages.init._warm_up", warm_up)
    given, words = WRONG[case]
    refused(asymrl(command, f"runs_dir={tmp_path}/runs", *given), *words)
    assert published(tmp_path) == {}

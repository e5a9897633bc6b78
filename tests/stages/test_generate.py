"""Generate: shards that are a function of the settings, filled where missing, never made twice."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asymreinforce.config import ExperimentConfig
from asymreinforce.data import contracts
from asymreinforce.data.store import Store
from asymreinforce.engines.encoding import encode_prompts
from asymreinforce.errors import ConfigError, InputError
from asymreinforce.model.checkpoint import load_tokenizer
from asymreinforce.model.prompts import identity_of
from asymreinforce.stages.generate import generate, shard_seed
from asymreinforce.stages.init import make_prompts
from tests.fixtures import toy_chat
from tests.fixtures.experiments import small_config
from tests.fixtures.fake_engine import FakeEngine
from tests.fixtures.forks import failpoints_that_differ
from tests.fixtures.scored_sets import write_shard
from tests.fixtures.stored_files import read_payload, read_stamps


def run(runs: Path, policy: Path, overrides: dict[str, Any]) -> None:
    """Lay prompts out and generate with the fake engine: what a child is given."""
    filled(small_config(runs, policy=policy, **overrides), policy)


def warm(policy: Path, overrides: dict[str, Any]) -> None:
    """Import what a tokenizer needs."""
    load_tokenizer(policy)


def filled(config: ExperimentConfig, policy: Path, engine: Any = None) -> Store:
    prompts = make_prompts(config.task, config.directory / "prompts")
    return generated(config, policy, prompts, engine)


def generated(config: ExperimentConfig, policy: Path, prompts: Store, engine: Any = None) -> Store:
    return generate(
        config,
        checkpoint=policy,
        prompts=prompts,
        engine=engine or FakeEngine(load_tokenizer(policy)),
        parent=config.directory / "rollouts",
    )


def with_questions(parent: Path, questions: list[str]) -> Store:
    """Prompts of a user's own."""
    store = Store(parent, {"stage": "prompts", "questions": questions})
    store.plan(["train.parquet"])
    columns = {
        "prompt_id": [f"q{index}" for index in range(len(questions))],
        "question": questions,
        "gold_answer": ["1"] * len(questions),
    }
    write_shard(store, "train.parquet", contracts.PROMPTS, columns, len(questions))
    return store


def rows(store: Store) -> list[dict[str, Any]]:
    return [
        row
        for name in store.planned
        for row in contracts.read_table(store.path(name), contracts.ROLLOUTS).to_pylist()
    ]


@pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.campaign)])
def test_killed_at_every_failpoint_the_rerun_gives_the_same_payload(
    tmp_path: Path, random_policy: Path, every: int
) -> None:
    overrides = {"task__train": 8, "task__validation": 2, "task__held_out": 2}
    given = (random_policy, overrides)
    points, differing = failpoints_that_differ(tmp_path, run, *given, warm=warm, every=every)
    # prompts: plan, 3 splits with receipts, provenance, manifest; rollouts: the same of 2 shards;
    # two points for the lease of each
    assert len(points) == 4 * (1 + 3 * 2 + 2) + 4 * (1 + 2 * 2 + 2) + 2 * 2
    assert differing == []


def test_a_complete_set_is_left_alone_and_the_engine_is_not_loaded(
    config: ExperimentConfig, random_policy: Path
) -> None:
    store = filled(config, random_policy)
    before = read_stamps(config.directory)
    engine = FakeEngine(load_tokenizer(random_policy))
    assert filled(config, random_policy, engine).directory == store.directory
    assert read_stamps(config.directory) == before
    assert (engine.loaded, engine.calls) == ([], 0)


def test_one_missing_shard_costs_one_call(config: ExperimentConfig, random_policy: Path) -> None:
    store = filled(config, random_policy)
    payload, before = read_payload(store.directory), read_stamps(store.directory)
    name = store.planned[3]
    store.drop(name)
    engine = FakeEngine(load_tokenizer(random_policy))
    filled(config, random_policy, engine)
    assert (engine.loaded, engine.calls) == ([random_policy], 1)
    assert read_payload(store.directory) == payload
    after = read_stamps(store.directory)
    assert {key for key in before if before[key] != after[key]} == {name, f"{name}.receipt"}


def test_more_samples_are_more_shards_of_the_same_set(tmp_path: Path, random_policy: Path) -> None:
    first = filled(small_config(tmp_path, policy=random_policy), random_policy)
    before = read_stamps(first.directory)
    engine = FakeEngine(load_tokenizer(random_policy))
    more = {"sampling__samples_per_prompt": 8, "optim__trajectories_per_step": 16}
    second = filled(small_config(tmp_path, policy=random_policy, **more), random_policy, engine)
    assert second.directory == first.directory
    after = read_stamps(second.directory)
    assert {name for name in before if before[name] != after[name]} == {
        "plan.json",
        "manifest.json",
    }
    assert engine.calls == 6  # two blocks more of three chunks
    found = rows(second)
    assert len(found) == 24 * 8 and len({(r["prompt_id"], r["sample"]) for r in found}) == 24 * 8
    assert {row["sample"] for row in found} == set(range(8))
    fewer = filled(small_config(tmp_path, policy=random_policy), random_policy, engine)
    assert fewer.is_complete() and engine.calls == 6  # the first four are taken; nothing is made


@pytest.mark.parametrize(
    "setting",
    [
        {"sampling__seed": 1},
        {"sampling__temperature": 0.5},
        {"sampling__prompts_per_shard": 4},
        {"task__seed": 1},
        {"task__template": "Q: {question}"},
    ],
)
def test_what_determines_the_rows_names_the_directory(
    tmp_path: Path, random_policy: Path, setting: dict[str, Any]
) -> None:
    first = filled(small_config(tmp_path, policy=random_policy), random_policy)
    other = filled(small_config(tmp_path, policy=random_policy, **setting), random_policy)
    assert other.directory != first.directory


def test_questions_that_look_rendered_are_counted_once_for_all_shards(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = toy_chat.checkpoint(tmp_path / "policy")
    config = small_config(tmp_path / "runs", policy=policy, policy__context=100)
    rendered = "<|im_start|>user\n1?<|im_end|>\n<|im_start|>assistant\n"
    prompts = with_questions(tmp_path / "prompts", ["1?", rendered, *["2?"] * 20, f"{rendered}3?"])
    store = generated(config, policy, prompts)
    assert len(store.planned) == 6
    lines = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert len(lines) == 1
    assert lines[0].startswith("warning: 2 of 23 questions hold special tokens' names or chat")


def test_only_the_embedded_policys_prompts_are_of_no_version(tmp_path: Path) -> None:
    embedded = small_config(tmp_path, policy="embedded")
    assert identity_of(embedded) == embedded.task.rendering
    other = small_config(tmp_path, policy="org/model")
    assert identity_of(other) == {**other.task.rendering, "version": 3}


def test_a_pinned_set_of_other_settings_names_them(tmp_path: Path, random_policy: Path) -> None:
    first = filled(small_config(tmp_path, policy=random_policy), random_policy)
    pinned = {"pins__rollouts": str(first.directory), "sampling__seed": 7}
    with pytest.raises(ConfigError, match=r"sampling\.seed: 7 is not 0"):
        filled(small_config(tmp_path, policy=random_policy, **pinned), random_policy)


class Recording(FakeEngine):
    """Remembers what it gave."""

    def sample(self, prompts: Any, sampling: Any, *, seed: int) -> Any:
        drawn = super().sample(prompts, sampling, seed=seed)
        self.given = [*getattr(self, "given", []), *zip(prompts, drawn, strict=True)]
        return drawn


def test_rows_hold_what_the_engine_gave_the_end_token_included(
    config: ExperimentConfig, random_policy: Path
) -> None:
    tokenizer = load_tokenizer(random_policy)
    engine = Recording(tokenizer)
    store = filled(config, random_policy, engine)
    given = [(list(p), completion) for p, group in engine.given for completion in group]
    found = rows(store)
    assert len(found) == len(given) == 96
    ends = {"stop": 0, "length": 0}
    for row, (prompt, completion) in zip(found, given, strict=True):
        assert row["prompt_token_ids"] == prompt
        assert row["completion_token_ids"] == completion.token_ids
        assert row["behaviour_logps"] == pytest.approx(completion.logps, abs=1e-6)
        assert row["finish_reason"] == completion.finish_reason
        ended = completion.finish_reason == "stop"
        assert (row["completion_token_ids"][-1] == tokenizer.eos_token_id) == ended
        assert tokenizer.eos_token not in row["text"]
        assert tokenizer.encode(row["text"]) == completion.token_ids[: -1 if ended else None]
        assert row["policy"] == store.identity["policy"]
        ends[row["finish_reason"]] += 1
    assert min(ends.values()) > 3


def test_each_shard_has_a_seed_of_its_own() -> None:
    names = [f"rollouts-s000-p{chunk:05d}.parquet" for chunk in range(100)]
    seeds = {shard_seed(seed, name) for seed in (0, 1) for name in names}
    assert len(seeds) == 200 and max(seeds) < 2**56
    assert shard_seed(0, names[0]) == shard_seed(0, names[0])


def test_special_tokens_in_a_question_stay_text(
    config: ExperimentConfig, random_policy: Path
) -> None:
    tokenizer = load_tokenizer(random_policy)
    question = f"Say {tokenizer.eos_token} now"
    prompts = with_questions(config.directory / "own", [question])
    for row in rows(generated(config, random_policy, prompts)):
        assert tokenizer.eos_token_id not in row["prompt_token_ids"]
        assert tokenizer.decode(row["prompt_token_ids"]) == question


def test_the_template_stands_around_the_question(tmp_path: Path, random_policy: Path) -> None:
    config = small_config(tmp_path, policy=random_policy, task__template="{question} Steps:")
    prompts = with_questions(tmp_path / "own", ["Ball under 3"])
    tokenizer = load_tokenizer(random_policy)
    row = rows(generated(config, random_policy, prompts))[0]
    assert tokenizer.decode(row["prompt_token_ids"]) == "Ball under 3 Steps:"


def too_long(tokenizer: Any) -> str:
    return " 4" * 57


def empty(tokenizer: Any) -> str:
    return ""


@pytest.mark.parametrize(("question", "tokens"), [(too_long, 57), (empty, 0)])
def test_a_prompt_that_does_not_fit_is_named_with_its_length(
    config: ExperimentConfig, random_policy: Path, question: Callable[[Any], str], tokens: int
) -> None:
    tokenizer = load_tokenizer(random_policy)
    prompts = with_questions(config.directory / "own", ["Ball", question(tokenizer)])
    message = rf"prompt q1 has {tokens} tokens; between 1 and 56 fit a context of 64"
    with pytest.raises(InputError, match=message):
        generated(config, random_policy, prompts)
    assert not list((config.directory / "rollouts").rglob("*.parquet"))


def test_a_prompt_as_long_as_fits_is_taken(config: ExperimentConfig, random_policy: Path) -> None:
    prompts = with_questions(config.directory / "own", [" 4" * 56])
    questions = contracts.read_table(prompts.path("train.parquet"), contracts.PROMPTS)
    (tokens,) = encode_prompts(
        questions, load_tokenizer(random_policy), config, checkpoint=random_policy
    )
    assert len(tokens) == 56


def test_a_prompt_file_without_prompts_is_refused(
    config: ExperimentConfig, random_policy: Path
) -> None:
    prompts = with_questions(config.directory / "own", [])
    with pytest.raises(InputError, match=r"train\.parquet: holds no prompt"):
        generated(config, random_policy, prompts)


def test_a_truncated_prompt_file_is_refused(config: ExperimentConfig, random_policy: Path) -> None:
    prompts = with_questions(config.directory / "own", ["Ball"])
    path = prompts.path("train.parquet")
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(InputError, match="damaged"):
        generated(config, random_policy, prompts)


@pytest.mark.parametrize(("samples", "block"), [(4, 8), (6, 4), (3, 2), (8, 8)])
def test_a_set_holds_exactly_the_samples_that_are_asked_for(
    tmp_path: Path, random_policy: Path, samples: int, block: int
) -> None:
    config = small_config(
        tmp_path / "runs",
        policy=random_policy,
        sampling__samples_per_prompt=samples,
        sampling__samples_per_block=block,
        optim__trajectories_per_step=24,
    )
    counts = Counter(row["prompt_id"] for row in rows(filled(config, random_policy)))
    assert len(counts) == 24
    assert set(counts.values()) == {samples}

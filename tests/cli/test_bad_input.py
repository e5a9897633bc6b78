"""Files that are missing, damaged or not what they claim to be: one message, nothing published."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from transformers import MptConfig, MptForCausalLM

from asymreinforce.data import files
from asymreinforce.data.contracts import PROMPTS, ROLLOUTS, VERDICTS
from asymreinforce.data.store import Store
from tests.fixtures.commands import (
    asymrl,
    foreign,
    only,
    published,
    refused,
    relabel,
    rewrite_rows,
    tiny,
    truncate,
)

SHARD = "rollouts-s000-p00001.parquet"


def prompts(runs_dir: Path) -> Store:
    return only(runs_dir / "cups/prompts")


def rollouts(runs_dir: Path) -> Store:
    return only(runs_dir / "cups/rollouts")


def verdicts(runs_dir: Path) -> Store:
    return only(runs_dir / "cups/verdicts")


def twice(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [*rows, rows[0]]


def none(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return []


def unknown_token(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row | {"completion_token_ids": [100_000]} for row in rows]


def without_last(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return rows[:-1]


def truncate_unjudged(runs_dir: Path) -> None:
    files.remove_path(runs_dir / "cups/verdicts")
    truncate(rollouts(runs_dir).directory / SHARD)


DAMAGES: dict[str, tuple[Callable[[Path], object], str, tuple[str, ...]]] = {
    "a missing prompt file": (
        lambda runs: files.remove_path(prompts(runs).directory / "train.parquet"),
        "generate",
        ("prompts", "asymrl init"),
    ),
    "a truncated prompt file": (
        lambda runs: truncate(prompts(runs).directory / "train.parquet"),
        "generate",
        ("train.parquet: damaged", "run the stage"),
    ),
    "an empty prompt file": (
        lambda runs: rewrite_rows(prompts(runs), "train.parquet", PROMPTS, none),
        "generate",
        ("train.parquet", "holds no prompt"),
    ),
    "a missing rollout file": (
        lambda runs: files.remove_path(rollouts(runs).directory / SHARD),
        "score",
        ("1 of 6 shards", "asymrl generate"),
    ),
    "a truncated rollout file": (
        lambda runs: truncate(rollouts(runs).directory / SHARD),
        "train",
        (SHARD, "damaged", "run"),
    ),
    "a truncated rollout file, not judged yet": (
        truncate_unjudged,
        "score",
        (SHARD, "run"),
    ),
    "a rollout file of another schema version": (
        lambda runs: relabel(rollouts(runs), SHARD, ROLLOUTS, version=7),
        "score",
        (SHARD, "rollouts/7", "rollouts/1", "make it again"),
    ),
    "rollouts that repeat a key": (
        lambda runs: rewrite_rows(rollouts(runs), SHARD, ROLLOUTS, twice),
        "score",
        (SHARD, "sample=0"),
    ),
    "rollouts without verdicts": (
        lambda runs: files.remove_path(runs / "cups/verdicts"),
        "train",
        ("no verdicts", "asymrl score"),
    ),
    "a missing verdict file": (
        lambda runs: files.remove_path(verdicts(runs).directory / SHARD),
        "train",
        ("1 of 6 shards of the verdicts", "asymrl score"),
    ),
    "a truncated verdict file": (
        lambda runs: truncate(verdicts(runs).directory / SHARD),
        "train",
        (SHARD, "damaged", "run"),
    ),
    "a verdict file of another schema version": (
        lambda runs: relabel(verdicts(runs), SHARD, VERDICTS, version=2),
        "train",
        (SHARD, "verdicts/2", "verdicts/1"),
    ),
    "verdicts on fewer rows than there are": (
        lambda runs: rewrite_rows(verdicts(runs), SHARD, VERDICTS, without_last),
        "train",
        ("one verdict for each rollout", "asymrl score"),
    ),
    "verdicts that repeat a key": (
        lambda runs: rewrite_rows(verdicts(runs), SHARD, VERDICTS, twice),
        "train",
        (SHARD, "sample=0", "each key must be unique"),
    ),
    "rollouts made anew after they were judged": (
        lambda runs: rewrite_rows(rollouts(runs), SHARD, ROLLOUTS, lambda rows: rows[::-1]),
        "train",
        ("judges another version", "asymrl score"),
    ),
    "an empty held-out file": (
        lambda runs: rewrite_rows(prompts(runs), "held_out.parquet", PROMPTS, none),
        "evaluate",
        ("held_out.parquet", "holds no prompt"),
    ),
    "a truncated checkpoint of the behaviour policy": (
        lambda runs: truncate(
            only(runs / "cups/policy").directory / "checkpoint/model.safetensors"
        ),
        "generate",
        ("checkpoint: damaged", "run the stage"),
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_named_with_the_way_to_mend_it(damage: str, runs_dir: Path) -> None:
    break_it, command, words = DAMAGES[damage]
    break_it(runs_dir)
    before = published(runs_dir)
    # another seed, so that there is an arm to train
    outcome = tiny(command, runs_dir, *(["seed=5"] if command == "train" else []))
    refused(outcome, *words)
    assert published(runs_dir) == before


def test_tokens_that_the_model_does_not_know_are_refused(runs_dir: Path) -> None:
    for name in rollouts(runs_dir).planned:
        rewrite_rows(rollouts(runs_dir), name, ROLLOUTS, unknown_token)
    assert tiny("score", runs_dir).code == 0
    before = published(runs_dir)
    refused(tiny("train", runs_dir, "seed=5"), "100000", "another tokenizer")
    assert published(runs_dir) == before


def test_verdicts_on_other_rollouts_are_refused(runs_dir: Path) -> None:
    own = verdicts(runs_dir).directory
    assert tiny("generate", runs_dir, "sampling.seed=1").code == 0
    before = published(runs_dir)
    outcome = tiny("train", runs_dir, "sampling.seed=1", f"pins.verdicts={own}")
    refused(outcome, str(own), "other settings", "rollouts")
    assert published(runs_dir) == before


def test_rollouts_of_another_tokenizer_are_refused(
    runs_dir: Path, random_policy: Path, tmp_path: Path
) -> None:
    """The checkpoint differs from the one that made the rollouts in its tokenizer alone."""
    first = Path(shutil.copytree(random_policy, tmp_path / "first"))
    other = Path(shutil.copytree(random_policy, tmp_path / "other"))
    text = (other / "tokenizer.json").read_text()
    (other / "tokenizer.json").write_text(text.replace('"version"', '  "version"', 1))
    embedded = rollouts(runs_dir).directory
    assert foreign("generate", runs_dir, first).code == 0
    (made,) = set((runs_dir / "cups/rollouts").iterdir()) - {embedded}
    before = published(runs_dir)
    outcome = foreign("score", runs_dir, other, f"pins.rollouts={made}")
    refused(outcome, str(made), "policy", "is not")
    assert published(runs_dir) == before


@pytest.mark.parametrize("command", ["init", "generate"])
def test_a_checkpoint_that_is_not_there_is_refused(
    command: str, runs_dir: Path, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    before = published(runs_dir)
    outcome = foreign(command, runs_dir, empty)
    refused(outcome, str(empty), "no checkpoint there")
    assert published(runs_dir) == before


def test_a_checkpoint_that_does_not_load_is_refused(
    runs_dir: Path, random_policy: Path, tmp_path: Path
) -> None:
    broken = Path(shutil.copytree(random_policy, tmp_path / "broken"))
    truncate(broken / "model.safetensors")
    before = published(runs_dir)
    outcome = foreign("generate", runs_dir, broken)
    refused(outcome, str(broken), "does not load", "safetensors")
    assert published(runs_dir) == before


def test_a_checkpoint_without_a_layer_is_refused_before_anything_is_made(
    runs_dir: Path, random_policy: Path, tmp_path: Path
) -> None:
    """transformers would draw the layer at random, and training end in 0."""
    broken = Path(shutil.copytree(random_policy, tmp_path / "broken"))
    weights = load_file(broken / "model.safetensors")
    kept = {name: w for name, w in weights.items() if not name.startswith("model.layers.1.")}
    save_file(kept, broken / "model.safetensors", metadata={"format": "pt"})
    before = published(runs_dir)
    for command in ("init", "generate", "sweep"):
        outcome = foreign(command, runs_dir, broken)
        refused(outcome, str(broken), "model.layers.1.input_layernorm.weight", "6 more missing")
    assert published(runs_dir) == before


@pytest.mark.parametrize("command", ["init", "plan", "sweep"])
def test_adapters_that_would_never_train_are_refused_before_rollouts_are_made(
    command: str, runs_dir: Path, random_policy: Path
) -> None:
    before = published(runs_dir)
    settings = ("train.lora.rank=2", "train.lora.target_modules=[q_proj,lm_head]")
    refused(foreign(command, runs_dir, random_policy, *settings), "(lm_head)", "all-linear")
    assert published(runs_dir) == before


@pytest.mark.parametrize("command", ["init", "plan"])
def test_an_architecture_that_does_not_train_is_refused_before_rollouts_are_made(
    command: str, runs_dir: Path, random_policy: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(random_policy, tmp_path / "other"))
    sizes = {"vocab_size": 300, "d_model": 16, "n_layers": 2, "n_heads": 2}
    model = MptForCausalLM(MptConfig(**sizes, max_seq_len=64))
    model.save_pretrained(other)
    before = published(runs_dir)
    refused(foreign(command, runs_dir, other), "MptForCausalLM does not run in packed training")
    assert published(runs_dir) == before


def test_a_prompt_longer_than_the_context_is_refused(runs_dir: Path, random_policy: Path) -> None:
    before = published(runs_dir)
    outcome = foreign("generate", runs_dir, random_policy, "policy.context=20")
    refused(outcome, "tokens; between 1 and 4 fit a context of 20", "raise policy.context")
    assert published(runs_dir) == before


def test_more_samples_than_were_generated_are_refused(runs_dir: Path) -> None:
    before = published(runs_dir)
    outcome = tiny("score", runs_dir, "sampling.samples_per_prompt=8")
    refused(outcome, "fewer than 8 samples", "asymrl generate", "samples_per_prompt=8")
    assert published(runs_dir) == before


def test_a_report_on_a_directory_without_arms_is_refused(tmp_path: Path) -> None:
    refused(asymrl("report", str(tmp_path / "absent")), "absent")
    assert list(tmp_path.iterdir()) == []


def test_evaluate_without_an_arm_is_refused(tmp_path: Path) -> None:
    refused(tiny("evaluate", tmp_path / "runs"), "no complete arm", "asymrl train")
    assert published(tmp_path / "runs") == {}


def test_a_damaged_summary_is_refused_by_report(runs_dir: Path) -> None:
    (runs_dir / "cups/summary.parquet").write_bytes(b"PAR1 not parquet")
    before = published(runs_dir)
    refused(asymrl("report", str(runs_dir / "cups")), "summary.parquet", "not readable")
    assert published(runs_dir) == before

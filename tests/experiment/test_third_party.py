"""A checkpoint of ours under lm-evaluation-harness: the same task, greedy, the same accuracy.

The harness loads the checkpoint by itself (transformers), prompts by its own template and extracts
answers by its own regular expression; nothing of this package takes part. No network.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from asymreinforce.config import EmbeddedConfig, ExperimentConfig, PolicyConfig, WarmUpConfig
from asymreinforce.data import contracts
from asymreinforce.engines.transformers_engine import TransformersEngine
from asymreinforce.model import embedded
from asymreinforce.model.fingerprint import checkpoint_fingerprint
from asymreinforce.stages.evaluate import evaluate, evaluation_store, shard_of
from asymreinforce.stages.init import make_prompts
from tests.fixtures.experiments import small_config

lm_eval = pytest.importorskip("lm_eval", reason="lm-evaluation-harness is not installed ([eval])")

PROMPTS = 60
TOKENS = 16
GREEDY = {"samples_per_prompt": 1, "max_tokens": TOKENS, "temperature": 0.0}


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small policy that has learned to answer at once, right in a quarter of cases or so."""
    warm_up = WarmUpConfig(
        questions=2000, steps=120, batch_size=64, lr_warmup_steps=10, worked_share=0, early_steps=0
    )
    config = EmbeddedConfig(width=48, intermediate=96, warm_up=warm_up)
    directory = tmp_path_factory.mktemp("policy") / "checkpoint"
    settings = PolicyConfig(source="embedded", context=64, embedded=config)
    embedded.make_checkpoint(directory, settings, advance=lambda count: None)
    return directory


def our_answers(config: ExperimentConfig, policy: Path) -> list[dict[str, Any]]:
    """Evaluate with this package: its engine, prompts and grader."""
    prompts = make_prompts(config.task, config.directory / "prompts")
    engine = TransformersEngine(config.engine, config.policy)
    store = evaluation_store(config, split="held_out", prompts=prompts, parent=config.directory)
    name = checkpoint_fingerprint(policy)
    evaluate(
        config,
        checkpoints={name: policy},
        store=store,
        prompts=prompts,
        engine=engine,
        advance=lambda count: None,
    )
    rows = contracts.read_table(store.directory / shard_of(name), contracts.EVALUATIONS).to_pylist()
    questions = contracts.read_table(
        prompts.path("held_out.parquet"), contracts.PROMPTS
    ).to_pylist()
    return [question | row for question, row in zip(questions, rows, strict=True)]


def harness_task(path: Path, cache: Path) -> dict[str, Any]:
    """A task of the harness over a local JSON file, as its documentation describes one."""
    return {
        "task": "cups",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(path)}, "cache_dir": str(cache)},
        "test_split": "test",
        "output_type": "generate_until",
        "doc_to_text": "{{question}}",
        "doc_to_target": "{{gold_answer}}",
        "generation_kwargs": {"until": ["<|end|>"], "do_sample": False, "max_gen_toks": TOKENS},
        "filter_list": [
            {
                "name": "last-answer",
                "filter": [
                    {
                        "function": "regex",
                        "regex_pattern": r"Answer: ?(-?\d+)",
                        "group_select": -1,
                    },
                    {"function": "take_first"},
                ],
            }
        ],
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    }


def test_the_harness_finds_the_same_accuracy_and_the_same_completions(
    tmp_path: Path, policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lm_eval.models.huggingface import HFLM

    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    config = small_config(
        tmp_path / "runs", policy=policy, task__held_out=PROMPTS, evaluation__sampling=GREEDY
    )
    ours = our_answers(config, policy)
    path = tmp_path / "cups.json"
    path.write_text(
        "\n".join(json.dumps({k: r[k] for k in ("question", "gold_answer")}) for r in ours)
    )
    model = HFLM(
        pretrained=str(policy), dtype="float32", device="cpu", batch_size=8, add_bos_token=False
    )
    found = lm_eval.simple_evaluate(
        model=model, tasks=[harness_task(path, tmp_path / "cache")], bootstrap_iters=0
    )
    theirs = sorted(found["samples"]["cups"], key=lambda sample: sample["doc_id"])
    assert [sample["resps"][0][0] for sample in theirs] == [row["text"] for row in ours]
    assert [sample["exact_match"] for sample in theirs] == [row["score"] or 0 for row in ours]
    accuracy = sum(row["score"] or 0 for row in ours) / PROMPTS
    assert found["results"]["cups"]["exact_match,last-answer"] == pytest.approx(accuracy)
    assert 0.1 < accuracy < 0.9  # equal because they agree, not because all is right or wrong

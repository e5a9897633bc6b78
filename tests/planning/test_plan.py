"""The arithmetic of a plan, by hand."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from asymreinforce.config import ExperimentConfig, parse_config
from asymreinforce.config.task import TaskConfig
from asymreinforce.planning.gpus import GIB, TrainingCost
from asymreinforce.planning.plan import plan
from asymreinforce.planning.suites import prompts_of
from tests.fixtures.commands import Outcome
from tests.fixtures.experiments import small_config


def config(**settings: Any) -> ExperimentConfig:
    """24 prompts of 4 samples and 8 tokens, 6 steps of 16, weights at 2, 4 and 6."""
    return small_config(Path("runs"), policy="owner/model", **settings)


def test_counts_are_products_of_the_settings() -> None:
    arms = [config(baseline=b, seed=s) for b in (-0.1, 0.0) for s in (0, 1, 2)]
    found = plan(arms)
    assert (found.arms, found.sets) == (6, 1)
    assert found.prompts == {"train": 24, "validation": 8, "held_out": 12}
    assert (found.completions, found.completion_tokens, found.rollout_tokens) == (96, 8, 768)
    assert (found.steps, found.checkpoints) == (6, 3)
    # 6 arms x 3 checkpoints and mu, 12 prompts x 2 samples each
    assert found.evaluated == 19 * 24
    assert found.trained_tokens == 6 * 16 * (200 + 8)


def test_suites_are_counted_with_their_own_prompts_samples_and_lengths() -> None:
    task = {"name": "cups", "train": 0, "validation": 0, "held_out": 50, "grader": "exact"}
    suites = {
        "ends": {"task": task, "sampling": {"samples_per_prompt": 16, "max_tokens": 5}},
        "every": {
            "task": task,
            "prompts": 10,
            "sampling": {"max_tokens": 30},
            "checkpoints": "all",
        },
    }
    arms = [config(seed=s, evaluation__suites=suites) for s in (0, 1)]
    ends, every = plan(arms).suites
    assert (ends.prompts, ends.models, ends.completions) == (50, 1 + 2 * 1, 50 * 3 * 16)
    assert (every.prompts, every.models, every.completions) == (10, 1 + 2 * 3, 10 * 7 * 2)
    assert (ends.tokens, every.tokens) == (50 * 3 * 16 * 5, 10 * 7 * 2 * 30)
    known = {"policy__parameters": 1000, "plan__generate_tokens_per_s": 100}
    without, beside = plan([config(**known)]), plan([config(**known, evaluation__suites=suites)])
    hours = [one.gpu_hours["evaluate"] for one in (without, beside)]
    assert hours[0] and hours[1]
    more = 50 * 2 * 16 * 5 + 10 * 4 * 2 * 30  # tokens of one arm and mu
    assert hours[1] - hours[0] == pytest.approx(more / (100 * 3600))
    both = [config(evaluation__suites=suites, train__validation_prompts=4)]
    assert plan(both).suites[0].models == 1 + 2  # the best on validation as well


def test_arms_that_differ_before_training_need_sets_of_their_own() -> None:
    arms = [config(sampling__seed=s, baseline=b) for s in (0, 1) for b in (-0.1, 0.0, 0.1)]
    assert plan(arms).sets == 2
    assert plan(arms).rollout_bytes == 2 * 96 * (12 * 8 + 4 * 200)


def test_an_unknown_model_leaves_counts_known_and_memory_unknown() -> None:
    found = plan([config()])
    assert (found.parameters, found.generation, found.training) == (None, None, None)
    assert found.completions == 96
    assert found.gpu_hours == {"generate": None, "train": None, "evaluate": None}
    assert found.checkpoint_bytes is None
    given = plan([config(policy__parameters=1000)])
    assert given.checkpoint_bytes == 3 * 4000  # of fp32 weights
    assert given.state_bytes == 8000  # the two moments of the last step


QWEN = {"policy__source": "Qwen/Qwen2.5-0.5B-Instruct", "train__tokens_per_micro_batch": 1000}
N = 494_032_768
"""Parameters of Qwen2.5-0.5B."""
LAYER = 2 * 896 * (896 + 128) + 3 * 896 * 4864 + 2 * 896 + (896 + 2 * 128)
ADAPTERS = 24 * 16 * (2 * 1792 + 2 * 1024 + 3 * 5760)
"""Of rank 16. q and o: 896 to 896, k and v: 896 to 128, gate, up and down: 896 and 4864."""


def trained(**settings: Any) -> TrainingCost:
    found = plan([config(**(QWEN | settings))]).training
    assert found
    return found


def test_the_memory_of_training_is_16_bytes_a_parameter_and_what_a_step_holds() -> None:
    """Prompts of 200 tokens are read by 4 completions of 8, which repeat its keys."""
    whole = trained()
    assert whole.parts.state == 16 * N
    repeated = 4 * 200 / (200 + 4 * 8)
    layer = 24 * 896 + 16 * 4864 + 12 * 896 + 8 * (2 + repeated) * 896 + 4 * 14
    assert whole.parts.activations == pytest.approx(1000 * (24 * layer + 8 * 896))
    assert whole.parts.head == 4 * 80_000_000 + 12 * 1000 * 896  # logits of a chunk, not of all
    assert whole.memory == sum(whole.parts)
    half = trained(train__precision="bfloat16")
    assert half.parts.state == 16 * N and half.parts.autocast == 2 * 24 * LAYER
    assert half.parts.activations < 0.7 * whole.parts.activations
    assert trained(train__processes=4).parts.state == 4 * N


def test_logits_take_a_share_of_a_cuda_device() -> None:
    half = {"train__precision": "bfloat16", "train__tokens_per_micro_batch": 16_384}
    found = trained(train__device="cuda", plan__gpu_memory_gib=80.0, **half)
    head = 80 * GIB / 32 + 2 * 151_936 * 896 + 6 * 16_384 * 896
    assert found.parts.head == pytest.approx(head)


def test_adapters_and_recomputed_activations_take_less_memory_and_other_time() -> None:
    full, adapters = trained(), trained(train__lora__rank=16)
    again = trained(train__activation_checkpointing=True)
    assert adapters.trained == ADAPTERS
    assert adapters.parts.state == 4 * N + 16 * ADAPTERS
    half = trained(train__lora__rank=16, train__precision="bfloat16")
    assert half.parts.state == 2 * N + 16 * ADAPTERS
    assert again.parts.activations < full.parts.activations / 10
    assert adapters.tokens_per_s == pytest.approx(full.tokens_per_s * 6 / 4)
    assert again.tokens_per_s == pytest.approx(full.tokens_per_s * 6 / 8)


def test_validation_decodes_in_the_precision_of_training_beside_its_state() -> None:
    """A token leaves 2 x 24 layers x 2 heads x 64 keys and values in the cache."""
    half = {"train__precision": "bfloat16", "train__validation_prompts": 8}
    assert trained().validation is None
    found = trained(**half).validation
    assert found == (2 * N, 2 * 2 * 24 * 2 * 64 * (200 + 8), 8)
    own = trained(train__validation_prompts=8).validation
    assert own and own.weights == 0  # the model in training itself
    adapters = trained(**half, train__lora__rank=16).validation
    assert adapters and adapters.weights == 0
    room = (18 * N + 3.5 * found.sequence) / GIB  # type: ignore[union-attr]
    tight = trained(**half, plan__gpu_memory_gib=room).validation
    assert tight and tight.running == 3


def test_an_engine_that_sleeps_beside_training_is_counted_in_rounds_on_a_gpu() -> None:
    settings = {"refresh_every": 2, "train__device": "cuda", "plan__engine_asleep_gib": 1.5}
    found = trained(engine__name="vllm", **settings)
    assert found.asleep == 1.5 * GIB and found.memory == sum(found.parts) + 1.5 * GIB
    assert trained(engine__name="transformers", **settings).asleep == 0
    assert trained(engine__name="vllm", train__device="cuda").asleep == 0


def test_checkpoints_on_disk_are_in_the_precision_of_training_and_whole_beside_adapters() -> None:
    """3 checkpoints of an arm; the state of the last step, and of the best one."""
    half = {"train__precision": "bfloat16"}
    whole, adapters = (
        plan([config(**QWEN, **half, **more, baseline=b) for b in (0.0, 0.1)])
        for more in ({}, {"train__lora__rank": 16, "train__validation_prompts": 8})
    )
    assert whole.checkpoint_bytes == 2 * 3 * 2 * N
    assert whole.state_bytes == 12 * N  # fp32 weights and two moments
    assert adapters.checkpoint_bytes == 2 * 3 * (2 * N + 4 * ADAPTERS)
    assert adapters.state_bytes == 2 * 8 * ADAPTERS


def test_the_speed_of_generation_is_its_bytes_over_the_bandwidth() -> None:
    settings = {
        "policy__source": "meta-llama/Llama-3.1-8B-Instruct",
        "policy__dtype": "bfloat16",
        "engine__max_sequences": 10,
        "plan__gpu_tb_per_s": 2.0,
        "plan__generate_utilisation": 0.5,
        "plan__generate_step_ms": 3.0,
    }
    found = plan([config(**settings)]).generation
    assert found and found.running == 10
    cache_token = 2 * 32 * 8 * 128 * 2
    seconds = (2 * 8_030_261_248 + 10 * cache_token * (200 + 4)) / 1e12 + 0.003
    assert found.tokens_per_s == pytest.approx(10 / seconds)
    assert found.cache == pytest.approx(80 * GIB * 0.9 - 2 * 8_030_261_248)
    two = plan([config(**settings, engine__tensor_parallel_size=2)]).generation
    assert two and two.weights == 8_030_261_248 and two.gpus == 2
    full = plan([config(**settings, plan__gpu_memory_gib=12)]).generation
    assert full and full.running is None


def test_speeds_that_are_given_take_the_place_of_estimates() -> None:
    speeds = {"plan__train_tokens_per_s": 100.0, "plan__generate_tokens_per_s": 50.0}
    found = plan([config(policy__parameters=1000, **speeds)])
    assert found.gpu_hours == {
        "generate": pytest.approx(768 / 50 / 3600),
        "train": pytest.approx(6 * 16 * 208 / 100 / 3600),
        "evaluate": pytest.approx(4 * 24 * 8 / 50 / 3600),
    }
    assert found.score_hours == pytest.approx((96 + 96) / (40 * 16) / 3600)


@pytest.mark.parametrize(
    ("processes", "arms", "more", "at_once", "waves"),
    [
        (1, 24, {}, 8, 3),
        (8, 24, {}, 1, 24),
        (3, 5, {}, 2, 3),
        (1, 5, {}, 5, 1),
        (1, 24, {"sweep__workers": 3}, 3, 8),
        (4, 2, {"train__nodes": 2, "train__rendezvous": "node0:29500"}, 1, 2),
    ],
)
def test_arms_run_at_once_as_the_machines_gpus_allow(
    processes: int, arms: int, more: dict[str, Any], at_once: int, waves: int
) -> None:
    speeds = {"policy__parameters": 1000, "plan__train_tokens_per_s": 100.0}
    found = plan([config(train__processes=processes, **speeds, **more)] * arms)
    assert found.arms_at_once == at_once
    ranks = processes * more.get("train__nodes", 1)
    hours = 6 * 16 * 208 / (100 * ranks) / 3600  # of one arm
    assert found.training_hours == pytest.approx(waves * hours)


def test_arms_that_need_more_gpus_than_there_are_take_no_time_that_is_known() -> None:
    found = plan([config(policy__parameters=1000, train__processes=9)])
    assert (found.arms_at_once, found.training_hours) == (0, None)


def data(**settings: Any) -> TaskConfig:
    counts = {"train": None, "validation": 0, "held_out": None}
    rows = {"train": 7500, "held_out": 5000}
    values = {"name": "math", "kind": "dataset", "grader": "math", "rows": rows}
    return TaskConfig.model_validate(values | counts | settings)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, (7500, 0, 5000)),
        ({"division": "12000/500"}, (12000, 0, 500)),
        ({"validation": 100}, (7400, 100, 5000)),
        ({"train": 4000, "validation": 100}, (4000, 100, 5000)),
        ({"rows": {}}, (None, 0, None)),
        ({"rows": {"train": 30}, "held_out": 5, "validation": 2}, (23, 2, 5)),
    ],
)
def test_prompts_are_known_from_settings_and_the_rows_of_published_sets(
    settings: dict[str, Any], expected: tuple[int | None, ...]
) -> None:
    assert tuple(prompts_of(data(**settings)).values()) == expected


def test_steps_are_unknown_where_neither_they_nor_the_prompts_are_given() -> None:
    found = plan([config(task__train=None)])
    assert (found.completions, found.steps, found.evaluated) == (None, None, None)
    fixed = plan([config(task__train=None, optim__steps=4)])
    assert (fixed.completions, fixed.steps) == (None, 4)


def test_an_arm_that_is_refreshed_draws_the_prompts_of_each_later_round() -> None:
    """6 steps of 4 prompts: rounds of 2, 2 and 2; of 4 and 2; or one, where none is later."""
    arms = {every: [config(refresh_every=every)] * 3 for every in (2, 4, 6)}
    found = {every: plan(arm) for every, arm in arms.items()}
    assert {every: made.rounds for every, made in found.items()} == {2: 3, 4: 2, 6: 1}
    refreshed = {every: made.refreshed for every, made in found.items()}
    assert refreshed == {2: 3 * 16 * 4, 4: 3 * 8 * 4, 6: 0}
    assert found[2].drawn == 96 + 192
    assert found[2].rollout_bytes == (96 + 192) * (12 * 8 + 4 * 200)
    given = plan([config(refresh_every=2, policy__parameters=9, plan__generate_tokens_per_s=1.0)])
    assert given.gpu_hours["generate"] == pytest.approx((96 + 64) * 8 / 3600)
    unknown = plan([config(refresh_every=2, task__train=None)])
    assert (unknown.rounds, unknown.refreshed) == (None, None)


def test_no_more_is_drawn_than_is_asked_for() -> None:
    odd = config(sampling__samples_per_prompt=3, optim__trajectories_per_step=12)
    assert plan([odd]).drawn == 3 * 24


def test_shards_gather_a_layer_and_the_ends_and_offloaded_ones_are_on_the_host() -> None:
    ends = 896 * (151_936 + 1)
    whole, shards, offloaded = (
        trained(**train) for train in ({}, {"train__processes": 2}, {"train__cpu_offload": True})
    )
    assert (whole.parts.gathered, shards.parts.gathered) == (0, 4 * LAYER + 8 * ends)
    assert (whole.on_host, offloaded.on_host) == (0, 16 * N)
    rest = whole.parts.activations + whole.parts.head
    assert shards.memory == 8 * N + shards.parts.gathered + rest
    assert offloaded.memory == shards.parts.gathered + rest


def rows_in(stores: Iterable[Path]) -> list[pa.Table]:
    """The tables of the stores' shards."""
    return [pq.read_table(path) for store in stores for path in sorted(store.rglob("*.parquet"))]


def test_a_plan_of_the_toy_sweep_is_what_the_sweep_made(first_sweep: tuple[Path, Outcome]) -> None:
    """Counts to the last one; tokens, given their mean lengths, and bytes within what is said."""
    experiment = first_sweep[0] / "cups"
    rollouts = pa.concat_tables(rows_in([experiment / "rollouts"]))
    lengths = {
        name: float(np.mean(pc.list_value_length(rollouts.column(f"{name}_token_ids"))))
        for name in ("prompt", "completion")
    }
    configs = [
        parse_config(json.loads(path.read_text()))
        for path in experiment.glob("train/*/config.json")
    ]
    means = {f"{name}_tokens": max(1, round(mean)) for name, mean in lengths.items()}
    given = configs[0].plan.model_copy(update=means)
    found = plan([one.model_copy(update={"plan": given}) for one in configs])

    assert (found.arms, found.sets, found.rounds) == (4, 1, 1)
    assert found.drawn == len(rollouts) == 192
    checkpoints = [p for p in experiment.glob("train/*/checkpoints/*") if p.is_dir()]
    assert found.checkpoints and found.arms * found.checkpoints == len(checkpoints) == 8
    evaluations = [table.num_rows for table in rows_in([experiment / "evaluations"])]
    assert found.evaluated == sum(evaluations)
    metrics = rows_in(experiment.glob("train/*/metrics"))
    steps = [row["step"] for table in metrics for row in table.to_pylist()]
    assert found.steps == max(steps) == 4

    assert found.rollout_tokens
    tokens = len(rollouts) * lengths["completion"]
    assert abs(found.rollout_tokens / tokens - 1) <= 0.5 / lengths["completion"]  # of the rounding
    assert found.trained_tokens
    read = 4 * 32 * sum(lengths.values())
    assert abs(found.trained_tokens / read - 1) <= 1 / sum(lengths.values())

    weights = sum(path.stat().st_size for c in checkpoints for path in c.glob("*.safetensors"))
    assert found.checkpoint_bytes == pytest.approx(weights, rel=0.02)
    held = sum(rollouts.column(n).nbytes for n in ("prompt_token_ids", "completion_token_ids"))
    held += sum(rollouts.column(name).nbytes for name in ("behaviour_logps", "text"))
    assert found.rollout_bytes
    assert 0.5 <= found.rollout_bytes / held <= 2  # before compression

"""What each setting determines: the table is complete, and every identity agrees with it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from asymreinforce.algorithm.table import OBJECTIVES, has_baseline
from asymreinforce.config import ExperimentConfig
from asymreinforce.config.settings import flatten_settings
from asymreinforce.data.determines import (
    ARM,
    EVALUATION,
    FIRST,
    NOTHING,
    PROMPTS,
    ROLLOUTS,
    VERDICTS,
    Product,
    differing_settings,
    first_product,
    key_of,
)
from asymreinforce.data.rollouts import ScoredRollouts
from asymreinforce.data.store import Store
from asymreinforce.experiment.inputs import Inputs
from asymreinforce.experiment.open_arm import arm_store
from asymreinforce.experiment.side_by_side import split_by_process
from asymreinforce.experiment.sweep import plan_sweep as plan_sweep
from asymreinforce.planning.plan import plan
from tests.fixtures.experiments import small_config
from tests.fixtures.scored_sets import write_scored_set


def fields() -> Iterator[str]:
    """Every setting by its section; settings of several values as one."""
    for name, field in ExperimentConfig.model_fields.items():
        part = field.annotation
        if isinstance(part, type) and issubclass(part, BaseModel):
            yield from (f"{name}.{inner}" for inner in part.model_fields)
        else:
            yield name


def test_every_setting_stands_in_the_table_once() -> None:
    assert sorted(fields()) == sorted(FIRST)


def test_settings_of_several_values_are_classified_as_one() -> None:
    settings = flatten_settings(small_config(Path("runs"), policy="mu").model_dump(mode="json"))
    assert first_product("task.sources.train.hub", settings) is PROMPTS
    assert first_product("train.lora.rank", settings) is ARM
    assert first_product("a_key_of_another_version", settings) is ARM


IMPORTED = {"source.path": "rollouts.jsonl"}
CUDA = {"train.device": "cuda"}
CONDITIONS: list[tuple[str, dict[str, Any], Product, Product]] = [
    ("source.validation", IMPORTED, NOTHING, PROMPTS),
    ("sampling.seed", IMPORTED, ROLLOUTS, NOTHING),
    ("engine.max_sequences", IMPORTED, ROLLOUTS, EVALUATION),
    ("policy.dtype", IMPORTED, ROLLOUTS, EVALUATION),
    ("policy.context", IMPORTED, ROLLOUTS, ROLLOUTS),
    ("engine.tensor_parallel_size", {"engine.name": "vllm"}, NOTHING, ROLLOUTS),
    ("policy.seed", {"policy.source": "embedded"}, NOTHING, ROLLOUTS),
    ("policy.embedded.width", {"policy.source": "embedded"}, NOTHING, ROLLOUTS),
    ("train.threads", {"policy.source": "embedded"}, ARM, ROLLOUTS),
    ("train.threads", CUDA, ARM, NOTHING),
    ("train.compile", CUDA, ARM, NOTHING),
    ("train.precision", CUDA, ARM, ARM),
    ("evaluation.sampling.seed", {"train.validation_prompts": 8}, EVALUATION, ARM),
    ("evaluation.prompts", {"train.validation_prompts": 8}, EVALUATION, EVALUATION),
    ("baseline", {"algorithm.name": "positives_only"}, ARM, NOTHING),
    ("baseline_reference", {"algorithm.name": "positives_only"}, ARM, NOTHING),
    ("baseline_quantile", {"baseline_reference": "group_quantile"}, NOTHING, ARM),
    ("baseline_steps", {"baseline_schedule": "linear"}, NOTHING, ARM),
    ("baseline_steps", {"baseline_schedule": "staleness"}, NOTHING, NOTHING),
    ("baseline_target", {"baseline_schedule": "staleness"}, NOTHING, ARM),
    ("baseline_schedule", {"algorithm.name": "positives_only"}, ARM, NOTHING),
    ("optim.final_lr_share", {"optim.schedule": "cosine"}, NOTHING, ARM),
    ("baseline_support", {"baseline_reference": "limit_support"}, NOTHING, ARM),
    ("algorithm.second_moment_limit", {"algorithm.name": "m2po"}, NOTHING, ARM),
    ("baseline_decay", {"baseline_reference": "running_mean"}, NOTHING, ARM),
    ("replay.fresh_share", {"replay.capacity": 1}, NOTHING, ARM),
    ("replay.positive_bias", {"replay.capacity": 1}, NOTHING, ARM),
    ("replay.capacity", {"replay.capacity": 1}, ARM, ARM),
    ("algorithm.function", {"algorithm.name": "linear"}, NOTHING, ARM),
    ("algorithm.tau", {"algorithm.name": "awr"}, NOTHING, ARM),
]


@pytest.mark.parametrize(("setting", "under", "without", "then"), CONDITIONS)
def test_some_settings_determine_something_under_others_alone(
    setting: str, under: dict[str, Any], without: Product, then: Product
) -> None:
    plain = flatten_settings(small_config(Path("runs"), policy="mu").model_dump(mode="json"))
    assert (first_product(setting, plain), first_product(setting, plain | under)) == (without, then)


def test_the_table_of_objectives_says_which_have_a_baseline() -> None:
    assert [name for name in OBJECTIVES if not has_baseline(name)] == [
        "positives_only", "nft", "dpo",
    ]  # fmt: skip


def another(value: Any, annotation: Any) -> Any:
    """Another value of a setting's type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        choices = [choice for choice in get_args(annotation) if isinstance(choice, str)]
        return next((choice for choice in choices if choice not in (value, "auto")), f"{value}x")
    if isinstance(value, list):
        return [number / 2 for number in value]
    return (value or 0) + 2 if isinstance(value, int | None) else (value / 2 or 0.25)


OTHERS = {
    "algorithm.name": "positives_only",
    "algorithm.clip_low": None,
    "algorithm.clip_high": None,
    "algorithm.weight_limit": None,
    "algorithm.tau": None,
    "algorithm.kl_coefficient": None,
    "algorithm.positive_weight": None,
    "algorithm.negative_weight": None,
    "algorithm.imitation": None,
    "algorithm.kept_shares": [0.25, 0.75],
    "algorithm.positive_power": None,
    "algorithm.positive_decay": None,
    "algorithm.negative_power": None,
    "algorithm.negative_decay": None,
    "algorithm.likelihood_floor": None,
    "algorithm.second_moment_limit": None,
    "algorithm.function": None,
    "reward.value": "score",
    "reward.weights": None,
    "reward.overlong": {"max_tokens": 8, "cache_tokens": 4},
    "baseline_reference": "zero",
    "optim.trajectories_per_step": 32,
    "rounds": None,
    "replicate": None,
    "replay.capacity": None,
    "replay.fresh_share": 0.75,
    "optim.lr": 2e-3,
    "optim.betas": [0.8, 0.9],
    "reward.correct_at": 0.5,
    "train.rendezvous": "host:2",
    "ray.address": "local",
    "tracker.mode": "offline",
    "tracker.project": "other",
    "tracker.entity": "team",
    "tracker.tags": ["first"],
    "train.device": "cuda",
    "train.precision": "bfloat16",
    "train.attention": "sdpa",
    "train.lora": {"rank": 4},
    "evaluation.sampling": {"samples_per_prompt": 3, "max_tokens": 8},
    "evaluation.suites": {
        "more": {
            "task": {"name": "cups", "train": 0, "validation": 0, "held_out": 4, "grader": "exact"},
            "sampling": {"max_tokens": 8},
        }
    },
}
"""Values that `another` does not find, or that need other settings (None: left out)."""
TRAINED = [
    name
    for name, product in FIRST.items()
    if product in (ARM, EVALUATION, NOTHING)
    and name.partition(".")[0] not in ("pins", "name", "runs_dir", "task", "source")
]
UNDER: list[dict[str, Any]] = [
    {},
    {"train__device": "cuda"},
    {"train__validation_prompts": 5},
    {"algorithm__name": "positives_only"},
    {"refresh_every": 2, "replay__capacity": 1},
]


@pytest.mark.parametrize("under", UNDER)
def test_an_arm_s_name_changes_with_the_settings_that_determine_it_and_with_no_other(
    under: dict[str, Any], tmp_path: Path, random_policy: Path
) -> None:
    prompts = Store(tmp_path, {"stage": "prompts"})
    scored = ScoredRollouts(*write_scored_set(tmp_path, prompts=24, samples=4), samples=4)

    def name_of(**settings: Any) -> str:
        given = {"train__rendezvous": "host:1"} | under | settings
        config = small_config(tmp_path, policy=random_policy, **given)
        return arm_store(config, Inputs(random_policy, prompts, scored)).hash

    before, base = name_of(), small_config(tmp_path, policy=random_policy, **under)
    values = base.model_dump(mode="json")
    settings = flatten_settings(values)
    asked = 0
    for name in TRAINED:
        section, _, key = name.rpartition(".")
        value = values[section][key] if section else values[key]
        part: Any = type(getattr(base, section)) if section else ExperimentConfig
        kind = part.model_fields[key].annotation
        other = OTHERS[name] if name in OTHERS else another(value, kind)
        if other is None or other == value:
            continue
        changed = name_of(**{name.replace(".", "__"): other}) != before
        assert changed == (first_product(name, settings) <= ARM), name
        asked += 1
    assert asked > 60


Sets = tuple[int, int, int]
SAME_INPUTS: list[tuple[dict[str, Any], Sets]] = [
    ({"ray__scorers": 2}, (1, 1, 1)),
    ({"engine__workers": 2}, (1, 1, 1)),
    ({"engine__gpu_memory_share": 0.5}, (1, 1, 1)),
    ({"reward__workers": 2}, (1, 1, 1)),
    ({"reward__max_error_rate": 0.5}, (1, 1, 1)),
    ({"task__rows": {"train": 5}}, (1, 1, 1)),
    ({"baseline": 0.1}, (1, 1, 1)),
    ({"reward__incorrect": 0.0}, (1, 1, 1)),
    ({"reward__cpu_limit_s": 9.0}, (2, 1, 2)),
    ({"task__grader": "gsm8k"}, (2, 1, 2)),
    ({"reward__graders": ["exact"]}, (2, 1, 2)),
    ({"reward__overlong": {"max_tokens": 8, "cache_tokens": 4}}, (1, 1, 1)),
    ({"sampling__seed": 1}, (2, 2, 2)),
    ({"task__seed": 1}, (2, 2, 2)),
]
"""A setting in which two arms differ; sets of inputs, sets of rollouts, processes that train."""


@pytest.mark.parametrize(("setting", "expected"), SAME_INPUTS)
def test_all_who_ask_for_the_same_inputs_agree(setting: dict[str, Any], expected: Sets) -> None:
    arms = [small_config(Path("runs"), policy="mu", **more) for more in ({}, setting)]
    assert (
        len(plan_sweep(arms).inputs),
        plan(arms).sets,
        len(split_by_process(arms, size=2)),
    ) == expected


def test_arms_of_the_same_graders_share_their_verdicts_whatever_the_weights() -> None:
    arms = [
        small_config(Path("runs"), policy="mu", reward__graders=["exact"], reward__weights=weights)
        for weights in ([1.0], [0.5])
    ]
    assert (len(plan_sweep(arms).inputs), len(split_by_process(arms, size=2))) == (1, 1)
    assert len(plan_sweep(arms).arms) == 2


def test_rollouts_of_two_files_are_two_sets_of_inputs() -> None:
    arms = [small_config(Path("runs"), policy="mu", source__path=path) for path in ("a.jsonl", "b")]
    assert (len(plan_sweep(arms).inputs), len(split_by_process(arms, size=2))) == (2, 2)


def test_pins_name_other_inputs() -> None:
    arms = [small_config(Path("runs"), policy="mu", **pin) for pin in ({}, {"pins__rollouts": "a"})]
    assert key_of(arms[0], VERDICTS) != key_of(arms[1], VERDICTS)


def test_arms_of_an_objective_without_baseline_are_one_arm_whatever_their_baseline() -> None:
    arms = [
        small_config(Path("runs"), policy="mu", algorithm__name=name, baseline=baseline)
        for name in ("asymre", "positives_only")
        for baseline in (-0.1, 0.1)
    ]
    planned = plan_sweep(arms).arms
    assert [(arm.algorithm.name, arm.baseline) for arm in planned] == [
        ("asymre", -0.1),
        ("asymre", 0.1),
        ("positives_only", -0.1),
    ]
    settings = {
        str(n): flatten_settings(arm.model_dump(mode="json")) for n, arm in enumerate(planned)
    }
    assert differing_settings(settings) == {
        "0": {"algorithm.name": "asymre", "baseline": -0.1},
        "1": {"algorithm.name": "asymre", "baseline": 0.1},
        "2": {"algorithm.name": "positives_only"},
    }


def test_a_replicate_gives_the_seeds_that_are_left_open() -> None:
    first = small_config(Path("runs"), policy="mu")
    values = first.model_dump(mode="json") | {"replicate": 3, "seed": None}
    values["sampling"]["seed"] = None
    config = ExperimentConfig.model_validate(values)
    assert (config.seed, config.sampling.seed, config.policy.seed) == (3, 3, 0)


def test_replicates_are_named_by_one_seed() -> None:
    """Policy, rollouts and data order vary together, and one number says all three."""
    arms: dict[str, dict[str, Any]] = {
        str(k): {"seed": k, "policy.seed": k, "sampling.seed": k, "policy.source": "embedded"}
        for k in (0, 1)
    }
    assert differing_settings(arms) == {"0": {"seed": 0}, "1": {"seed": 1}}
    arms["1"]["sampling.seed"] = 5
    assert differing_settings(arms)["1"] == {"seed": 1, "policy.seed": 1, "sampling.seed": 5}

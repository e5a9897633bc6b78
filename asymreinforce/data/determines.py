"""The product that each setting determines: prompts, rollouts, verdicts, an arm or its evaluation.

    prompts -> rollouts -> verdicts -> arm -> evaluation

`TABLE` lists a setting under the first product that its value enters; the setting determines all
later products too. These functions decide whether two arms are the same, share inputs or differ
only by seed, and in which settings arms differ. Settings are flat: `{"optim.lr": 1e-4}`.
"""

import enum
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from asymreinforce.algorithm.table import has_baseline, takes_option
from asymreinforce.config import RANKS, SAME_GRADIENT, ExperimentConfig
from asymreinforce.config.baseline import SCHEDULE_OF
from asymreinforce.config.settings import flatten_settings
from asymreinforce.config.training import KEPT

Flat = Mapping[str, Any]


class Product(enum.IntEnum):
    """The products of the pipeline, in its order."""

    PROMPTS = 1
    ROLLOUTS = 2
    VERDICTS = 3
    ARM = 4
    EVALUATION = 5
    NOTHING = 6


PROMPTS, ROLLOUTS, VERDICTS, ARM, EVALUATION, NOTHING = Product

TABLE: dict[str, dict[Product, str]] = {
    "": {
        ARM: "baseline baseline_reference baseline_quantile baseline_support baseline_decay "
        "baseline_schedule seed rounds refresh_every " + " ".join(SCHEDULE_OF),
        NOTHING: "name runs_dir replicate",  # a replicate acts through the seeds that it sets
    },
    "task": {
        PROMPTS: "name kind family seed train validation held_out params path sources columns "
        "division answer_marker no_answers max_characters overlap",
        ROLLOUTS: "chat system instruction chat_arguments date template",
        VERDICTS: "grader",
        NOTHING: "rows completion_tokens",
    },
    "source": {
        PROMPTS: "path format columns ignore policy templated ended turns filter too_long "
        "validation held_out prompts_per_shard",
        VERDICTS: "verdicts",
    },
    "policy": {
        ROLLOUTS: "source revision seed dtype context trust_remote_code safetensors_only embedded",
        NOTHING: "parameters",
    },
    "engine": {
        ROLLOUTS: "name threads max_sequences tensor_parallel_size",
        NOTHING: "workers memory_gib gpu_memory_share eager",
    },
    "sampling": {
        ROLLOUTS: "samples_per_prompt temperature top_p max_tokens seed samples_per_block "
        "prompts_per_shard"
    },
    "evaluation": {EVALUATION: "split prompts sampling train_prompts suites"},
    "reward": {
        VERDICTS: "graders cpu_limit_s reasoning memory_limit_mb",
        ARM: "value correct incorrect weights overlong correct_at no_answer truncated unjudged",
        NOTHING: "workers max_error_rate",
    },
    "algorithm": {
        ARM: "name aggregation clip_low clip_high weight_limit tau kl_coefficient "
        "positive_weight negative_weight imitation function drop_groups kept_shares positive_power "
        "positive_decay negative_power negative_decay likelihood_floor second_moment_limit",
    },
    "optim": {
        ARM: "lr betas eps weight_decay grad_clip warmup_steps schedule final_lr_share "
        "trajectories_per_step steps epochs"
    },
    "train": {
        ARM: "device precision lora checkpoint_every diagnostics_every slice_prompts "
        "validation_prompts on_collapse " + " ".join(SAME_GRADIENT),
        NOTHING: " ".join(RANKS | KEPT),
    },
    "replay": {ARM: "capacity fresh_share positive_bias"},
    "tracker": {NOTHING: "name mode project entity tags"},
    "sweep": {NOTHING: "workers together report"},
    "search": {NOTHING: "trials spread value seed"},
    "pins": {NOTHING: "prompts rollouts verdicts"},
    "plan": {
        NOTHING: "gpu gpus gpu_memory_gib gpu_tflops gpu_tb_per_s train_utilisation "
        "generate_utilisation generate_step_ms engine_asleep_gib train_tokens_per_s "
        "generate_tokens_per_s score_per_core_s cores prompt_tokens completion_tokens"
    },
    "ray": {NOTHING: "address gpus_per_worker scorers tries"},
}
"""Section -> product -> names of settings; a setting of several values counts as one setting."""

# These are the defaults of conf/config.yaml, under which such arms were trained before.
NO_BASELINE = {
    "baseline": -0.1,
    "baseline_reference": "group_mean",
    "baseline_schedule": "constant",
}
"""The baseline settings in the identity of an arm whose objective has no baseline."""

OF_A_REFERENCE = {
    "baseline_quantile": "group_quantile",
    "baseline_support": "limit_support",
    "baseline_decay": "running_mean",
}
"""Setting -> the only `baseline_reference` under which the setting enters V(x)."""

CHOOSES = {"sampling.samples_per_prompt", "reward.graders"}
"""Settings that determine how many rollouts or verdicts exist and are used, not their content."""

FIRST: dict[str, Product] = {
    f"{section}.{name}".lstrip("."): product
    for section, products in TABLE.items()
    for product, names in products.items()
    for name in names.split()
}


def flat_settings(config: ExperimentConfig) -> dict[str, Any]:
    """Return all settings by their dotted names, with JSON values."""
    return flatten_settings(config.model_dump(mode="json"))


def is_same_value(one: Any, other: Any) -> bool:
    """Tell whether two values of a setting are equal, or are paths of the same file."""
    is_text = isinstance(one, str) and isinstance(other, str)
    return one == other or (
        is_text and "/" in one + other and Path(one).resolve() == Path(other).resolve()
    )


def first_product(setting: str, settings: Flat) -> Product:
    """Return the first product that a setting determines, given all settings of its arm.

    An unknown setting, as another version may have, determines the arm.
    """
    field = setting if setting in FIRST else ".".join(setting.split(".")[:2])
    product = FIRST.get(field, ARM)
    section = field.partition(".")[0]
    is_imported = settings.get("source.path") is not None
    is_embedded = settings.get("policy.source") == "embedded"
    if section == ("sampling" if is_imported else "source"):
        return NOTHING  # a set is either generated or imported
    if is_imported and product == ROLLOUTS and (section == "engine" or field == "policy.dtype"):
        return EVALUATION  # the engine drew none of the rollouts, but samples for evaluation
    if field == "engine.tensor_parallel_size" and settings.get("engine.name") == "transformers":
        return NOTHING  # only the engine on vLLM reads it
    if field in ("policy.seed", "policy.embedded") and not is_embedded:
        return NOTHING  # both make the embedded policy only
    if field == "train.threads" and is_embedded:
        return ROLLOUTS  # the embedded policy is trained with the same number of threads
    if field == "evaluation.sampling" and settings.get("train.validation_prompts"):
        return ARM  # validation samples with these settings, and chooses the best checkpoint
    objective = settings.get("algorithm.name", "asymre")
    if section == "algorithm" and not takes_option(objective, field.partition(".")[2]):
        return NOTHING
    if field in OF_A_REFERENCE and settings.get("baseline_reference") != OF_A_REFERENCE[field]:
        return NOTHING
    if section == "replay" and field != "replay.capacity" and not settings.get("replay.capacity"):
        return NOTHING
    schedule = settings.get("baseline_schedule", "constant")
    if SCHEDULE_OF.get(field, schedule) != schedule:
        return NOTHING
    if field == "optim.final_lr_share" and settings.get("optim.schedule", "constant") == "constant":
        return NOTHING
    if field.startswith("baseline"):
        return ARM if has_baseline(objective) else NOTHING
    # These settings change only the order of rounding; on CUDA the bytes are not promised anyway.
    is_rounding = section == "train" and field.partition(".")[2] in SAME_GRADIENT
    return NOTHING if is_rounding and settings.get("train.device") == "cuda" else product


def determining_settings(settings: Flat, product: Product) -> dict[str, Any]:
    """Return the settings that determine a product or one of the products before it."""
    return {
        key: value for key, value in settings.items() if first_product(key, settings) <= product
    }


def key_of(config: ExperimentConfig, product: Product) -> str:
    """Return a text that is equal for two arms if they share a product."""
    settings = flat_settings(config)
    # Pins determine nothing, but name a product's directory: arms with different pins share none.
    pins = {key: value for key, value in settings.items() if key.startswith("pins.")}
    return json.dumps(determining_settings(settings, product) | pins, sort_keys=True)


def idle_settings(arms: Sequence[ExperimentConfig]) -> list[str]:
    """Name the settings whose values differ although they determine nothing for some arms."""
    all_of = [flat_settings(arm) for arm in arms]
    return [
        key
        for key in sorted({key for settings in all_of for key in settings})
        if _count_values(key, all_of) > 1
        and any(first_product(key, arm_settings) > ARM for arm_settings in all_of)
    ]


def differing_settings(arms: Mapping[str, Flat]) -> dict[str, dict[str, Any]]:
    """Return for each arm the determining settings in which the arms differ.

    A setting is compared among the arms that depend on it. Left out are an objective's options if
    they differ only between objectives, and the seeds of policy and rollouts if they equal the
    training seed in every arm (replicates).
    """
    by_arm = {name: determining_settings(settings, ARM) for name, settings in arms.items()}
    by_objective: dict[Any, list[Flat]] = defaultdict(list)
    for settings in by_arm.values():
        by_objective[settings.get("algorithm.name")].append(settings)
    keys = {
        key
        for key in {key for settings in by_arm.values() for key in settings}
        if _count_values(key, by_arm.values()) > 1
        # An option that comes with an objective's preset says no more than the objective's name.
        and not (
            key.startswith("algorithm.")
            and key not in ("algorithm.name", "algorithm.function")
            and all(_count_values(key, group) <= 1 for group in by_objective.values())
        )
    }
    if all(_is_replicate(settings) for settings in by_arm.values()):
        keys -= {"policy.seed", "sampling.seed"}
    return {
        name: {key: settings[key] for key in sorted(keys & settings.keys())}
        for name, settings in by_arm.items()
    }


def _is_replicate(settings: Flat) -> bool:
    """Tell whether all seeds that determine an arm are the same number."""
    seeds = [settings[key] for key in ("seed", "policy.seed", "sampling.seed") if key in settings]
    return len(set(seeds)) == 1


def _count_values(key: str, arms: Iterable[Flat]) -> int:
    """Count the different values of a setting among the arms that have it."""
    return len({json.dumps(arm[key], sort_keys=True) for arm in arms if key in arm})


def without_idle_baseline(config: ExperimentConfig) -> ExperimentConfig:
    """Return an arm's settings, with `NO_BASELINE` if its objective has no baseline."""
    return config if has_baseline(config.algorithm.name) else config.model_copy(update=NO_BASELINE)


def same_arm(identity: Flat) -> str:
    """Return a text that is equal for two identities if their arms have the same bytes."""
    # Earlier versions gave arms without a baseline in their objective one identity per baseline.
    values = flatten_settings(identity)
    if not has_baseline(str(values.get("algorithm.name", values.get("algorithm")))):
        values = {k: v for k, v in values.items() if not k.startswith("baseline")}
    return json.dumps(values, sort_keys=True)

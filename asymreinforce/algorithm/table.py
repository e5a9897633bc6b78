"""The table of objectives: name, kind (`kinds.py`), options and their defaults."""

# torch is imported where it is used: reports read the table without loading torch

from dataclasses import replace
from functools import partial
from typing import Any

from asymreinforce.algorithm import linear as coefficients
from asymreinforce.algorithm import ratio as losses
from asymreinforce.algorithm import whole_step
from asymreinforce.algorithm.kinds import Linear, Objective, Ratio, WholeStep
from asymreinforce.config import AlgorithmConfig
from asymreinforce.errors import ConfigError
from asymreinforce.plugins import is_plugin, plugin_identity

DAPO_CLIP_HIGH = 0.28
"""DAPO's value (Yu et al. 2025, Sec. 4.1); also for CISPO, whose paper does not give its value."""

CLIP = {"clip_low": 0.2, "clip_high": 0.2}
"""The clip of PPO, the same on both sides."""
STANDARDISED = partial(Ratio, reference="group_mean", is_standardised=True)
"""A ratio objective with GRPO's advantage."""

OF_POLICY = ("minimum_variance",)
"""References that need log pi of the whole step."""

OBJECTIVES: dict[str, Objective] = {
    "asymre": Linear(coefficients=coefficients.asymre),
    "reinforce": Linear(coefficients=coefficients.reinforce, reference="zero"),
    "rloo": Linear(coefficients=coefficients.rloo, reference="leave_one_out"),
    "positives_only": Linear(coefficients=coefficients.positives_only, has_baseline=False),
    "asymmetric": Linear(
        coefficients=coefficients.asymmetric,
        options={"positive_weight": 1.0, "negative_weight": 1.0, "imitation": 0.0},
    ),
    "opmd_mean": Linear(
        coefficients=coefficients.opmd_mean, options={"tau": 1.0}, reference="group_mean"
    ),
    "opmd_kimi": Ratio(losses=losses.opmd_kimi, options={"tau": 0.1}, reference="group_mean"),
    "grpo": STANDARDISED(losses=losses.clipped, options=CLIP),
    # GRPO without the standard deviation and the lengths (Liu et al. 2025, arXiv 2503.20783)
    "dr_grpo": Ratio(losses=losses.clipped, options=CLIP, reference="group_mean"),
    "dapo": STANDARDISED(losses=losses.clipped, options=CLIP | {"clip_high": DAPO_CLIP_HIGH}),
    # clips of the GSPO paper, Sec. 5.1
    "gspo": STANDARDISED(losses=losses.gspo, options={"clip_low": 3e-4, "clip_high": 4e-4}),
    # the best tau of 0.1, 1 and 5 on the data of the DRO paper
    "dro": Ratio(losses=losses.dro, options={"tau": 1.0}),
    # powers and decays of the VESPO authors' scripts
    "vespo": STANDARDISED(
        losses=losses.vespo,
        options={
            "positive_power": 2.0,
            "positive_decay": 3.0,
            "negative_power": 3.0,
            "negative_decay": 2.0,
        },
    ),
    "nft": Ratio(
        losses=losses.nft,
        options={"likelihood_floor": 1.0},
        has_baseline=False,
        is_of_correctness=True,
    ),
    "m2po": WholeStep(
        losses=whole_step.m2po,
        options={"second_moment_limit": 0.04},
        reference="group_mean",
        is_standardised=True,
    ),
    # beta of the DPO paper, Appendix B
    "dpo": WholeStep(
        losses=whole_step.dpo, options={"tau": 0.1}, has_baseline=False, is_of_correctness=True
    ),
    # values of the AWR authors' code, which standardises A over a batch
    "awr": Linear(coefficients=coefficients.awr, options={"tau": 1.0, "weight_limit": 20.0}),
    "ppo": Ratio(losses=losses.clipped, options=CLIP),
    "cispo": STANDARDISED(
        losses=losses.cispo, options={"clip_low": 1.0, "clip_high": DAPO_CLIP_HIGH}
    ),
    "tis": Ratio(losses=losses.tis, options={"weight_limit": 1.0}),
    "tis_token": Ratio(losses=losses.tis_token, options={"weight_limit": 2.0}),
    "topr": Ratio(losses=losses.topr),
    "topr_token": Ratio(losses=losses.topr_token),
    "asymre_reverse_kl": Ratio(losses=losses.asymre_reverse_kl, options={"kl_coefficient": 0.1}),
}


OWN = ("linear", "ratio")
"""The kinds that a user's own `algorithm.function` can have."""


def has_baseline(name: str) -> bool:
    """Return whether an objective uses the baseline; True for an unknown name."""
    return name not in OBJECTIVES or OBJECTIVES[name].has_baseline


def takes_option(name: str, option: str) -> bool:
    """Return whether an objective uses an option of `algorithm`; True for an unknown name."""
    if option in ("name", "aggregation", "drop_groups", "kept_shares"):
        return True
    if name in OWN:
        return option == "function"
    return name not in OBJECTIVES or option in OBJECTIVES[name].options


def objective_of(config: AlgorithmConfig, *, baseline_reference: str) -> Objective:
    """Return the objective that the settings ask for, with its options bound.

    Raises `ConfigError` if the name is not in the table, the objective does not take an option, the
    objective needs another `baseline_reference`, or a user's function breaks its contract
    (`user_functions.py`).
    """
    chosen = _own_objective(config) if config.name in OWN else OBJECTIVES.get(config.name)
    if chosen is None:
        raise ConfigError(
            f"algorithm.name={config.name} is unknown; there are {', '.join(OBJECTIVES)}, and "
            "linear and ratio with an algorithm.function of your own"
        )
    if config.function and config.name not in OWN:
        raise ConfigError(
            f"algorithm.function does not enter {config.name}; algorithm=linear takes "
            "coefficients, algorithm=ratio losses"
        )
    unused = sorted(config.options.keys() - chosen.options.keys())
    if unused:
        takes = ", ".join(chosen.options) or "no option"
        raise ConfigError(
            f"algorithm.{unused[0]} does not enter {config.name}, which takes {takes}; leave it out"
        )
    if chosen.reference not in (None, baseline_reference):
        raise ConfigError(
            f"{config.name} means baseline_reference={chosen.reference}, not {baseline_reference}; "
            f"choose the preset algorithm={config.name}, or another objective"
        )
    options = {**chosen.options, **config.options}
    follows_policy = chosen.has_baseline and baseline_reference in OF_POLICY
    chosen = replace(chosen, options=options, follows_policy=follows_policy)
    if isinstance(chosen, Linear):
        return replace(chosen, coefficients=partial(chosen.coefficients, **options))
    return replace(chosen, losses=partial(chosen.losses, **options))


def require_objective(config: AlgorithmConfig, *, baseline_reference: str) -> None:
    """Raise `ConfigError` if the objective or its reference cannot be used; see `objective_of`."""
    objective_of(config, baseline_reference=baseline_reference)
    if is_plugin(baseline_reference):
        from asymreinforce.algorithm.user_functions import load_reference

        load_reference(baseline_reference)


def _own_objective(config: AlgorithmConfig) -> Objective:
    from asymreinforce.algorithm import user_functions

    if config.function is None:
        kind = "coefficients" if config.name == "linear" else "losses"
        raise ConfigError(
            f"algorithm={config.name} needs your own {kind}: algorithm.function=module:function "
            "(docs/tutorials/own-objective.md has an example)"
        )
    if config.name == "linear":
        return Linear(coefficients=user_functions.load_coefficients(config.function))
    return Ratio(losses=user_functions.load_losses(config.function))


def objective_identity(config: AlgorithmConfig, *, baseline_reference: str) -> dict[str, Any]:
    """Return the values that determine an objective: name, aggregation and all options it uses.

    A user's function is identified by its source code, which is read and not run.
    """
    shared: dict[str, Any] = {"name": config.name, "aggregation": config.aggregation}
    # left out at their defaults, so that directories made before these settings keep their names
    if config.drop_groups != "none":
        shared["drop_groups"] = config.drop_groups
    if config.kept_shares is not None:
        shared["kept_shares"] = list(config.kept_shares)
    if config.name in OWN and config.function:
        code = plugin_identity(config.function)
        return {**shared, "code": code}
    objective = objective_of(config, baseline_reference=baseline_reference)
    return {**shared, **objective.options}

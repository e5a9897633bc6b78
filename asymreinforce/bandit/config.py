"""The settings of the theory bench, parsed once, and the grid of chains that they make."""

from itertools import product
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    ValidationError,
    model_validator,
)

from asymreinforce.errors import ConfigError

Reference = Literal["zero", "initial_mean", "behaviour_mean", "group_mean"]
Update = Literal["asymre", "importance_weighted", "clipped"]
Experiment = Literal[
    "section_5_1",
    "policy_improvement",
    "phase_diagram",
    "stale_mu",
    "sampled_groups",
    "rival_updates",
]


def _one_is_many(value: Any) -> Any:
    return value if value is None or isinstance(value, list | tuple) else (value,)


Some = BeforeValidator(_one_is_many)
"""Lets a swept setting be given as a single value."""

Seed = Annotated[int, Field(ge=0, lt=2**32)]
Lr = Annotated[FiniteFloat, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


class BanditConfig(BaseModel):
    """Settings of a theory bench: one chain for each element of the product of all tuples below.

    V = reference + baseline. `zero` gives the constant V of Section 5.1, `initial_mean` a constant
    V = V^{mu_0} + baseline, `behaviour_mean` a V that follows mu, and `group_mean` the trainer's
    form with sampled groups.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    experiment: Experiment = "section_5_1"
    """Name of the experiment, which decides the figures."""
    arms: int = Field(default=100, ge=2)
    logit_scale: FiniteFloat = Field(default=10.0, gt=0)
    """mu(y) = softmax(y / logit_scale)."""
    rewards: tuple[FiniteFloat, ...] | None = None
    """Rewards r(y), one for each arm, in place of the draws of `seed`."""
    seed: Annotated[tuple[Seed, ...], Some, Field(min_length=1)] = (43,)
    """Seeds of the rewards: np.random.seed(seed); np.random.rand(arms)."""
    baseline: Annotated[tuple[FiniteFloat, ...], Some, Field(min_length=1)]
    baseline_reference: Reference = "zero"
    lr: Annotated[tuple[Lr, ...], Some, Field(min_length=1)] = (1.0,)
    update: Annotated[tuple[Update, ...], Some, Field(min_length=1)] = ("asymre",)
    clip: FiniteFloat = Field(default=0.2, gt=0, lt=1)
    """c of the clipped update."""
    steps: Annotated[tuple[Count, ...], Some, Field(min_length=1)]
    """Gradient steps of an iteration, after which mu <- pi."""
    iterations: Count | None = 1
    total_steps: Count | None = None
    """In place of `iterations`: total gradient steps, the same for every value of `steps`."""
    samples: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Some, Field(min_length=1)] = (0,)
    """Sampled arms per step; 0 uses the exact expectation."""
    group_size: Annotated[tuple[Annotated[int, Field(ge=2)], ...] | None, Some] = None
    """Group size G, for `baseline_reference=group_mean`."""
    sampling_seed: Annotated[tuple[Seed, ...], Some, Field(min_length=1)] = (0,)
    """Seeds of the sampled arms; chains with the same `sampling_seed` and `seed` share samples."""
    records: int = Field(default=60, ge=2)
    """Recorded moments of a chain: evenly spaced in log(step) if there is one iteration."""

    @model_validator(mode="after")
    def _no_setting_repeats_a_value(self) -> Self:
        for name in ("seed", "baseline", "lr", "update", "steps", "samples", "sampling_seed"):
            _require_no_repeats(name, getattr(self, name))
        _require_no_repeats("group_size", self.group_size or ())
        return self

    @model_validator(mode="after")
    def _rewards_are_one_for_each_arm(self) -> Self:
        if self.rewards is not None and len(self.rewards) != self.arms:
            raise ValueError(
                f"rewards: {len(self.rewards)} of them for arms={self.arms}; give one for each arm"
            )
        if self.rewards is not None and len(self.seed) > 1:
            raise ValueError("seed: the rewards are given, so no draw of them can be swept")
        return self

    @model_validator(mode="after")
    def _length_is_said_once(self) -> Self:
        if (self.iterations is None) == (self.total_steps is None):
            raise ValueError("give iterations or total_steps, and set the other to null")
        too_long = [n for n in self.steps if n > (self.total_steps or n)]
        if too_long:
            raise ValueError(
                f"steps: {too_long[0]} are more than total_steps={self.total_steps}; lower them"
            )
        return self

    @model_validator(mode="after")
    def _groups_come_with_group_mean(self) -> Self:
        if (self.baseline_reference == "group_mean") != (self.group_size is not None):
            raise ValueError("group_size belongs to baseline_reference=group_mean, and only there")
        if self.group_size is None:
            return self
        if set(self.update) != {"asymre"}:
            raise ValueError("baseline_reference=group_mean needs update=asymre")
        uneven = [(n, g) for n in self.samples for g in self.group_size if n == 0 or n % g]
        if uneven:
            raise ValueError(
                f"samples: {uneven[0][0]} arms a step make no whole groups of {uneven[0][1]}; "
                "use a multiple of every group_size"
            )
        return self


def _require_no_repeats(name: str, values: tuple[Any, ...]) -> None:
    repeated = sorted({value for value in values if values.count(value) > 1})
    if repeated:
        raise ValueError(f"{name}: {repeated[0]!r} is listed twice; list each value once")


def parse_settings(settings: dict[str, Any]) -> BanditConfig:
    """Parse plain settings; raises `ConfigError` that names each wrong setting and its rule."""
    try:
        return BanditConfig.model_validate(settings)
    except ValidationError as error:
        raise ConfigError("bandit: " + "; ".join(map(_describe_error, error.errors()))) from error


def _describe_error(entry: Any) -> str:
    where = ".".join(map(str, entry["loc"]))
    if entry["type"] == "extra_forbidden":
        return f"{where}: no such setting; conf/bandit.yaml and its presets name all there are"
    what = entry["msg"].removeprefix("Value error, ")
    return f"{where}={entry['input']!r}: {what}" if where else what


class ChainSettings(NamedTuple):
    """The settings in which the chains of a batch differ."""

    seed: int
    baseline: float
    lr: float
    sampling_seed: int


class Batch(NamedTuple):
    """Chains that advance as one tensor: they share the update and the lengths."""

    update: Update
    steps: int
    iterations: int
    samples: int
    group_size: int | None
    chains: tuple[ChainSettings, ...]


def make_batches(config: BanditConfig) -> list[Batch]:
    """Return the batches of a configuration, in the order of its tuples."""
    cuts = product(config.update, config.steps, config.samples, config.group_size or (None,))
    return [
        Batch(
            update,
            steps,
            config.iterations or (config.total_steps or steps) // steps,
            samples,
            group_size,
            _make_chains(config, samples),
        )
        for update, steps, samples, group_size in cuts
    ]


def _make_chains(config: BanditConfig, samples: int) -> tuple[ChainSettings, ...]:
    # An exact expectation draws nothing, so its replicates would be equal.
    streams = config.sampling_seed if samples else config.sampling_seed[:1]
    return tuple(
        ChainSettings(seed, baseline, lr, stream)
        for seed, baseline, lr, stream in product(config.seed, config.baseline, config.lr, streams)
    )

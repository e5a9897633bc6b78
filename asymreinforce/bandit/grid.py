"""The chains of a configuration: the product of its tuples, in batches that fit one tensor."""

from itertools import product
from typing import NamedTuple

from asymreinforce.bandit.config import BanditConfig, Update


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

"""List the sets of rollouts in an experiment directory, and find the set of mu."""

from pathlib import Path

from asymreinforce.data.store import Store
from asymreinforce.errors import InputError
from asymreinforce.report.records import Experiment


def rollout_sets(directory: Path) -> dict[str, int | None]:
    """Return the sampling seed of each set of rollouts, by name; None if it is unknown."""
    seeds: dict[str, int | None] = {}
    for plan in sorted((directory / "rollouts").glob("*/plan.json")):
        try:
            sampling = Store.open(plan.parent).identity.get("sampling")
        except InputError:
            sampling = None
        seeds[plan.parent.name] = sampling.get("seed") if isinstance(sampling, dict) else None
    return seeds


def verdicts_of_behaviour(experiment: Experiment) -> Store | None:
    """Return the verdicts on the rollouts of mu; None unless there is exactly one such set."""
    # rollouts of later rounds have other sampling seeds, so the seed of the arms tells mu's set
    seeds = {arm.sampling_seed for arm in experiment.arms}
    sets = rollout_sets(experiment.directory)
    own = {name for name, seed in sets.items() if seed in seeds} or set(sets)
    if len(own) != 1:
        return None
    stores = []
    for plan in sorted((experiment.directory / "verdicts").glob("*/plan.json")):
        try:
            store = Store.open(plan.parent)
        except InputError:
            continue
        if store.identity.get("rollouts") in own:
            stores.append(store)
    return stores[0] if len(stores) == 1 else None

"""Read the arms of an experiment from disk, whichever command trained them."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from asymreinforce.algorithm.table import objective_identity
from asymreinforce.config import ExperimentConfig, parse_config
from asymreinforce.config.settings import flatten_settings
from asymreinforce.data import determines, files, lease
from asymreinforce.data.store import Store
from asymreinforce.errors import AsymreinforceError, InputError


class TrainedArm(NamedTuple):
    """A trained arm: its store and the configuration that trained it."""

    store: Store
    config: ExperimentConfig

    @property
    def name(self) -> str:
        """The name of the arm's directory, which is the arm's identity."""
        return self.store.directory.name

    @property
    def checkpoints(self) -> dict[int, Path]:
        """Step -> checkpoint directory, for the checkpoints whose weights are published."""
        directories = sorted((self.store.directory / "checkpoints").glob("step-??????"))
        return {
            int(path.name.removeprefix("step-")): path
            for path in directories
            if self.store.receipt(f"checkpoints/{path.name}")
        }

    @property
    def last_step(self) -> int:
        """The number of optimizer steps that the arm was trained for."""
        return int(self.store.facts["steps"])


class PassedOver(NamedTuple):
    """An arm that the summary leaves out, and the reason."""

    directory: Path
    reason: str
    is_at_work: bool = False
    """Whether another process trains the arm now."""
    was_complete: bool = False
    """Whether the arm was trained to its end and files of it were lost or damaged later."""


class Survey(NamedTuple):
    """Every arm of an experiment directory, sorted by name."""

    arms: list[TrainedArm]
    passed_over: list[PassedOver]


def survey_arms(directory: Path) -> Survey:
    """Return the complete arms of an experiment directory, and all other arms with a reason."""
    # a directory that was moved after training has its arms' inputs at the new place
    place = {"runs_dir": directory.parent, "name": directory.name}
    entries = [_read_arm(path, place) for path in sorted((directory / "train").glob("[!.]*/"))]
    arms: dict[str, TrainedArm] = {}
    passed_over = [arm for arm in entries if isinstance(arm, PassedOver)]
    for arm in (arm for arm in entries if isinstance(arm, TrainedArm)):
        # arms that differ only in a baseline that their objective ignores have the same weights
        first = arms.setdefault(determines.same_arm(arm.store.identity), arm)
        if first is not arm:
            reason = f"is the same arm as {first.name}: no baseline enters its objective"
            passed_over.append(PassedOver(arm.store.directory, reason))
    return Survey(list(arms.values()), passed_over)


def arms_of(directory: Path) -> list[TrainedArm]:
    """Return the complete arms of an experiment directory, sorted by name."""
    return survey_arms(directory).arms


def _read_arm(directory: Path, place: dict[str, Any]) -> TrainedArm | PassedOver:
    if working := lease.current_holder(directory):
        at_work, reason = True, f"{working.line} works on it"
    else:
        at_work, reason = False, "it is not complete; train it again, or delete the directory"
    if not (directory / "manifest.json").exists():
        return PassedOver(directory, reason, at_work)
    try:
        store = Store.open(directory)
        if "steps" not in store.facts:
            raise InputError(f"{directory / 'manifest.json'}: damaged; train the arm again")
        if lost := [name for name in store.planned if not _is_whole(store, name)]:
            raise InputError(
                f"{directory / lost[0]}: missing or damaged"
                + (f", and {len(lost) - 1} more" if len(lost) > 1 else "")
                + "; train the arm again"
            )
        return TrainedArm(store, _config_of(store, place))
    except AsymreinforceError as error:
        return PassedOver(directory, reason if at_work else str(error), at_work, not at_work)


def _is_whole(store: Store, name: str) -> bool:
    """Tell whether a shard has a receipt and the receipt's size; the shard is not read."""
    receipt = store.receipt(name)
    return receipt is not None and files.size_on_disk(store.directory / name) == receipt.bytes


def is_readable(store: Store) -> bool:
    """Tell whether an arm's `config.json` exists, can be parsed, and belongs to that arm."""
    try:
        _config_of(store, {})
    except AsymreinforceError:
        return False
    return True


def _config_of(store: Store, place: dict[str, Any]) -> ExperimentConfig:
    """Read an arm's settings; raise `InputError` if they contradict the arm's identity."""
    path = store.directory / "config.json"
    values = files.read_json(path)
    if not isinstance(values, dict):
        raise InputError(f"{path}: not a configuration; train the arm again")
    config = parse_config({**values, **place})
    settings = determines.determining_settings(determines.flat_settings(config), determines.ARM)
    objective = objective_identity(config.algorithm, baseline_reference=config.baseline_reference)
    settings |= flatten_settings(
        {"algorithm": objective}
    )  # options that are not set have their objective's own defaults
    settings["optim.steps"] = config.steps  # the steps may follow from the number of rounds
    made_with = flatten_settings(store.identity)
    differing = [k for k in settings.keys() & made_with.keys() if settings[k] != made_with[k]]
    if differing:
        raise InputError(f"{path}: is of another arm ({', '.join(differing)}); train it again")
    return config


def overrides_of(arms: list[TrainedArm]) -> dict[str, dict[str, Any]]:
    """Return for each arm the settings in which the arms differ, by dotted key."""
    return determines.differing_settings(
        {arm.name: determines.flat_settings(arm.config) for arm in arms}
    )


def name_arms(arms: list[TrainedArm]) -> dict[str, str]:
    """Name each arm for people: `baseline=-0.1 seed=0`, then other settings that differ."""
    names, differing = {}, overrides_of(arms)
    for arm in arms:
        values = {"baseline": arm.config.baseline, "seed": arm.config.seed} | differing[arm.name]
        names[arm.name] = " ".join(
            f"{key.removesuffix('.name')}={_short(value)}" for key, value in values.items()
        )
    return names


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value)

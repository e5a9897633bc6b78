"""By which reward stored rollouts are shown: the one that their experiment was made with.

The settings of the experiment say it (`data/experiment_record.py`), or those of an arm. A user's
function that they name is not run: a directory may come from anyone.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from asymreinforce.config import RewardConfig, describe_errors
from asymreinforce.config.reward import OverlongConfig
from asymreinforce.config.settings import flatten_settings
from asymreinforce.data import files
from asymreinforce.data.arm_settings import CONFIG
from asymreinforce.data.experiment_record import recorded_settings
from asymreinforce.data.store import Store
from asymreinforce.errors import InputError
from asymreinforce.plugins import is_plugin
from asymreinforce.viewing.stored import StoredSet, grader_of, own_verdicts, verdicts_of

PLAIN = RewardConfig()
TWO = f"r is {PLAIN.correct:+g} or {PLAIN.incorrect:+g}"
TWO_REWARDS = {"reward.correct", "reward.incorrect"}
TERMS = {"reward.value", "reward.graders", "reward.weights"} | {
    f"reward.overlong.{name}" for name in OverlongConfig.model_fields
}
"""Settings that decide a reward beside these two; earlier versions had none of them."""


class ShownReward(NamedTuple):
    """The verdicts that rollouts are shown with, and the reward that is made of them."""

    verdicts: Store | None
    """Of the grader that says what is correct; None if there are none."""
    config: RewardConfig = PLAIN
    others: Mapping[str, Store] = {}
    """Verdicts of further graders of `reward.graders`."""
    words: str = ""
    """What to say of it; empty for one that the verdict decides alone."""


def choose_reward(stored: StoredSet, *, grader: str | None, arm: str | None) -> ShownReward:
    """Choose verdicts and reward: those that the experiment was made with, or an arm by its name.

    A `grader` is shown alone. If the settings name no reward that can be shown, or its verdicts
    are not all there, a plainer one is, and the words say so. Raises `InputError` if there are no
    such verdicts, or not exactly one such arm.
    """
    settings = shown_settings(stored.directory, arm)
    verdicts = verdicts_of(stored, grader) if grader else own_verdicts(stored, settings)
    config = settings_reward(settings)
    if is_plugin(str(value := settings.get("reward.value", PLAIN.value))):
        return ShownReward(verdicts, words=f"{TWO}: reward.value={value} is not run here")
    if config is None:
        return ShownReward(verdicts, words=f"{TWO}: arms differ in theirs, which --arm shows")
    if grader or verdicts is None:
        config = _of_one(config)
    if not config.graders or verdicts is None:
        words = _overlong_words(config)
        return ShownReward(verdicts, config, words=words and f"r: {words}")
    own = grader_of(verdicts)
    by_grader = {grader_of(store): store for store in reversed(stored.verdicts)}
    others = {n: by_grader[n] for n in config.graders if n != own and n in by_grader}
    if absent := set(config.graders) - {own, *others}:
        words = f"r is of {own} alone: there are no verdicts of {', '.join(sorted(absent))}"
        return ShownReward(verdicts, _of_one(config), words=words)
    terms = [f"{weight:g} {name}" for name, weight in config.weight_by_grader.items()]
    parts = [f"r = {' + '.join(terms)}", _overlong_words(config)]
    return ShownReward(verdicts, config, others, ", ".join(filter(None, parts)))


def shown_settings(directory: Path, arm: str | None) -> dict[str, Any]:
    """Return the flat settings that an experiment was made with, or those of one of its arms.

    Raises `InputError` unless exactly one arm's name begins with `arm`, if there are arms.
    """
    paths = sorted((directory / "train").glob(f"*/{CONFIG}"))
    if arm is None or not paths:
        return recorded_settings(directory)
    matching = [path for path in paths if path.parent.name.startswith(arm)]
    if len(matching) != 1:
        known = ", ".join(path.parent.name for path in (matching or paths)[:12])
        count = "several arms begin" if matching else "no arm begins"
        raise InputError(f"{directory}: {count} with {arm!r}; name one of: {known}")
    return flatten_settings(files.read_json(matching[0]))


def _of_one(config: RewardConfig) -> RewardConfig:
    return config.model_copy(update={"graders": (), "weights": None})


def settings_reward(settings: Mapping[str, Any]) -> RewardConfig | None:
    """Return the reward that flat settings name, the plain one if they name none.

    None if the arms that they are of differ in it.
    """
    recorded = {key: value for key, value in settings.items() if key in TWO_REWARDS | TERMS}
    expected = TWO_REWARDS | (TERMS if TERMS & recorded.keys() else set())
    if recorded and expected - recorded.keys():
        return None  # what arms differ in is not among the settings of all
    values: dict[str, Any] = {"overlong": {}}
    for key, value in recorded.items():
        _, *sections, name = key.split(".")
        (values["overlong"] if sections else values)[name] = value
    try:
        return RewardConfig.model_validate(values)
    except ValidationError as error:
        raise InputError(f"the arm's reward cannot be read: {describe_errors(error)}") from None


def _overlong_words(config: RewardConfig) -> str:
    overlong = config.overlong
    if overlong.max_tokens is None:
        return ""
    lengths = f"{overlong.free_tokens} to {overlong.max_tokens} tokens"
    return f"less up to {overlong.weight:g} from {lengths}"

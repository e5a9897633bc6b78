"""Choose the reward with which stored rollouts are shown: that of their experiment or of an arm.

The settings of the experiment (`data/experiment_record.py`) or of the arm name the reward.
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
"""Settings that decide a reward beside `TWO_REWARDS`; earlier versions had none of them."""


class ShownReward(NamedTuple):
    """The verdicts with which rollouts are shown, and the reward that is computed from them."""

    verdicts: Store | None
    """The verdicts that decide what is correct; None if there are no verdicts."""
    config: RewardConfig = PLAIN
    others: Mapping[str, Store] = {}
    """Verdicts of further graders of `reward.graders`."""
    words: str = ""
    """A description of the reward; empty if the verdict alone decides it."""


def choose_reward(stored: StoredSet, *, grader: str | None, arm: str | None) -> ShownReward:
    """Choose the verdicts and the reward of the experiment, or of the arm that begins with `arm`.

    If `grader` is given, only its verdicts are used. If the reward cannot be computed, or some of
    its verdicts are missing, a simpler reward is shown, and `words` says so. Raises `InputError` if
    the grader gave no verdicts, or if not exactly one arm matches.
    """
    settings = shown_settings(stored.directory, arm)
    verdicts = verdicts_of(stored, grader) if grader else own_verdicts(stored, settings)
    config = settings_reward(settings)
    # a user's reward function is never run here, since the directory may come from anyone
    if is_plugin(str(value := settings.get("reward.value", PLAIN.value))):
        return ShownReward(verdicts, words=f"{TWO}: reward.value={value} is not run here")
    if config is None:
        return ShownReward(verdicts, words=f"{TWO}: rewards differ between arms; choose with --arm")
    if grader or verdicts is None:
        config = _of_one(config)
    if not config.graders or verdicts is None:
        words = _overlong_words(config)
        return ShownReward(verdicts, config, words=words and f"r: {words}")
    own = grader_of(verdicts)
    # verdicts are newest first: reversed, the newest set of a grader wins
    by_grader = {grader_of(store): store for store in reversed(stored.verdicts)}
    others = {n: by_grader[n] for n in config.graders if n != own and n in by_grader}
    if absent := set(config.graders) - {own, *others}:
        words = f"r uses only {own}: there are no verdicts of {', '.join(sorted(absent))}"
        return ShownReward(verdicts, _of_one(config), words=words)
    terms = [f"{weight:g} {name}" for name, weight in config.weight_by_grader.items()]
    parts = [f"r = {' + '.join(terms)}", _overlong_words(config)]
    return ShownReward(verdicts, config, others, ", ".join(filter(None, parts)))


def shown_settings(directory: Path, arm: str | None) -> dict[str, Any]:
    """Return the flat settings of an experiment, or of the arm whose name begins with `arm`.

    If there are arms, raises `InputError` unless exactly one arm's name begins with `arm`.
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
    """Return the reward that flat settings name, or the default reward if they name none.

    None if the arms of the settings differ in their rewards.
    """
    recorded = {key: value for key, value in settings.items() if key in TWO_REWARDS | TERMS}
    expected = TWO_REWARDS | (TERMS if TERMS & recorded.keys() else set())
    if recorded and expected - recorded.keys():
        return None  # the shared settings leave out those in which arms differ
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
    return f"minus a length penalty of up to {overlong.weight:g} from {lengths}"

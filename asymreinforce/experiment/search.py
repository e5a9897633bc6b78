"""Search the settings of each method by validation accuracy, with a fixed number of trials.

    for every trial:   values of each method --train--> arms --validation--> accuracy

All trials share rollouts, verdicts, seeds and data order. Every arm is the arm that a sweep with
these settings would train, so complete arms are not trained again. Held-out questions play no part
in the choice.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from asymreinforce.config import ExperimentConfig, parse_config
from asymreinforce.data import contracts, determines
from asymreinforce.data.arm_settings import read_failure
from asymreinforce.data.search_records import (
    Interval,
    SearchRecord,
    Trial,
    publish_record,
    stored_trials,
)
from asymreinforce.data.store import Store
from asymreinforce.errors import ConfigError, InputError
from asymreinforce.experiment.open_arm import open_arm
from asymreinforce.experiment.proposals import propose, require_proposals
from asymreinforce.experiment.sweep import Launch, prepare_sweep, train_waiting
from asymreinforce.progress import say


class Method(NamedTuple):
    """A method: its arms, one for each seed, and the record of its trials."""

    arms: list[ExperimentConfig]
    record: SearchRecord

    def at(self, values: Mapping[str, float]) -> list[ExperimentConfig]:
        """Return the method's arms with the given values of the searched settings."""
        return [with_values(arm, values) for arm in self.arms]


def run_search(
    arms: Sequence[ExperimentConfig], intervals: Sequence[Interval], *, launch: Launch
) -> list[SearchRecord]:
    """Search the intervals for each method among the arms; return the records of all trials.

    Trials of an earlier run of the same search are not repeated. Raises `ConfigError` if the arms
    validate nothing, if a searched setting has no effect on an arm or changes its rollouts, or if
    optuna is needed and not installed.
    """
    require_searchable(arms, intervals)
    require_proposals(trials=arms[0].search.trials, spread=arms[0].search.spread)
    # any values will do, because searched settings do not change rollouts and verdicts
    prepare_sweep([with_values(arm, _ends(intervals)[0]) for arm in arms])
    methods = methods_of(arms, intervals)
    directory, trials = arms[0].directory, arms[0].search.trials
    old = [stored_trials(directory, method.record) for method in methods]
    for number in range(trials):
        values = [_next_values(m, earlier) for m, earlier in zip(methods, old, strict=True)]
        train_waiting(
            [arm for m, v in zip(methods, values, strict=True) for arm in m.at(v)],
            launch=launch,
            what=f"search: trial {number + 1} of {trials}",
        )
        methods = [_with_trial(m, v) for m, v in zip(methods, values, strict=True)]
        for method, earlier in zip(methods, old, strict=True):
            _publish(directory, method.record, earlier)
    return [method.record for method in methods]


def _next_values(method: Method, earlier: Sequence[Trial]) -> Mapping[str, float]:
    """Return the values of a method's next trial, from an earlier run's record if it has them."""
    record = method.record
    number = len(record.trials)
    if number < len(earlier):
        return earlier[number].values
    return propose(record.intervals, record.trials, spread=record.spread, seed=record.seed)


def _publish(directory: Path, record: SearchRecord, earlier: Sequence[Trial]) -> None:
    """Write the record of a method's trials, with the later trials of an earlier run."""
    # a rerun that is stopped early must not lose trials that the earlier run had finished
    trials = (*record.trials, *earlier[len(record.trials) :])
    budget = max(record.budget, len(trials))
    publish_record(directory, record._replace(trials=trials, budget=budget))


def require_searchable(arms: Sequence[ExperimentConfig], intervals: Sequence[Interval]) -> None:
    """Raise `ConfigError` if the settings of `intervals` cannot be searched for these arms."""
    if not intervals:
        raise ConfigError(
            "nothing is searched: give a setting an interval, such as "
            "'optim.lr=interval(1e-5,1e-3)', quoted for the shell"
        )
    for arm in arms:
        if not arm.train.validation_prompts:
            raise ConfigError(
                "a search chooses by validation questions, and train.validation_prompts=0: set it, "
                f"and {arm.section_of_questions}.validation to keep questions back"
            )
        settings = determines.flat_settings(arm)
        for interval in intervals:
            # all trials share rollouts, verdicts and seeds
            product = determines.first_product(interval.setting, settings)
            if product != determines.Product.ARM or interval.setting == "seed":
                raise ConfigError(
                    f"{interval.setting} cannot be searched: it "
                    + (
                        "has no effect on some of the methods"
                        if product > determines.Product.ARM
                        else "changes the rollouts or the seeds, which all trials share"
                    )
                )
    for arm in arms:
        for end in _ends(intervals):
            # raises now, before anything is trained, if an end of the interval is not valid
            with_values(arm, end)


def _ends(intervals: Sequence[Interval]) -> list[dict[str, float]]:
    return [{i.setting: i.low for i in intervals}, {i.setting: i.high for i in intervals}]


def with_values(config: ExperimentConfig, values: Mapping[str, float]) -> ExperimentConfig:
    """Return a configuration with other values; raise `ConfigError` if a value is not valid."""
    content: dict[str, Any] = config.model_dump(mode="json")
    for setting, value in values.items():
        *sections, name = setting.split(".")
        part = content
        for section in sections:
            part = part[section]
        part[name] = value
    return parse_config(content)


def methods_of(arms: Sequence[ExperimentConfig], intervals: Sequence[Interval]) -> list[Method]:
    """Group arms into methods: arms of a method differ only in seed and in searched settings."""
    searched = {interval.setting for interval in intervals}
    gathered: dict[str, dict[int, ExperimentConfig]] = {}
    for arm in arms:
        key = json.dumps(_determining(arm, searched), sort_keys=True)
        gathered.setdefault(key, {}).setdefault(arm.seed, arm)
    return [
        Method(list(own.values()), _new_record(list(own.values()), json.loads(key), intervals))
        for key, own in gathered.items()
    ]


def _new_record(
    arms: Sequence[ExperimentConfig], settings: Mapping[str, Any], intervals: Sequence[Interval]
) -> SearchRecord:
    search = arms[0].search
    # a method is named by its arms at the low ends, which are the same in every run of a search
    lowest = [with_values(arm, _ends(intervals)[0]) for arm in arms]
    return SearchRecord(
        arms=tuple(open_arm(arm).store.directory.name for arm in lowest),
        settings=settings,
        intervals=tuple(intervals),
        seeds=tuple(arm.seed for arm in arms),
        value=search.value,
        questions=arms[0].train.validation_prompts,
        spread=search.spread,
        seed=search.seed,
        budget=search.trials,
    )


def _determining(arm: ExperimentConfig, searched: Iterable[str]) -> dict[str, Any]:
    settings = determines.determining_settings(
        determines.flat_settings(arm), determines.Product.ARM
    )
    return {k: v for k, v in settings.items() if k != "seed" and k not in searched}


def _with_trial(method: Method, values: Mapping[str, float]) -> Method:
    """Add the trial of some values, whose arms were trained, to a method's record.

    The trial's accuracy is the mean over the arms, and None if an arm failed. Raises `InputError`
    if an arm neither finished nor failed, because another process trains it or it was killed.
    """
    stores = [open_arm(arm).store for arm in method.at(values)]
    names = tuple(store.directory.name for store in stores)
    errors = [error for store in stores if (error := _error_of(store))]
    trial = Trial(dict(values), None, names, errors[0] if errors else "")
    if errors:
        say(f"failed: {_text(values)}: {errors[0]}")
    else:
        accuracies = [validation_accuracy(store, method.record.value) for store in stores]
        trial = trial._replace(accuracy=sum(accuracies) / len(accuracies))
    record = method.record._replace(trials=(*method.record.trials, trial))
    return method._replace(record=record)


def _error_of(store: Store) -> str:
    if store.is_complete():
        # None if the arm collapsed before its first validation, under train.on_collapse=stop
        is_judged = store.facts["best_accuracy"] is not None
        return "" if is_judged else "it ended before a checkpoint was validated"
    if failure := read_failure(store.directory):
        return failure.error
    raise InputError(
        f"{store.directory}: did not finish; run the same search again, once nothing else trains it"
    )


def validation_accuracy(store: Store, value: str) -> float:
    """Return a complete arm's validation accuracy: the best one, or the last that was measured.

    The best accuracy is the highest among the checkpoints after step 0.
    """
    if value == "best":
        return float(store.facts["best_accuracy"])
    names = sorted(name for name in store.planned if name.startswith("metrics/"))
    for name in reversed(names):
        rows = contracts.read_table(store.path(name), contracts.METRICS).to_pylist()
        for row in reversed(rows):
            if (accuracy := row["validation_accuracy"]) is not None:
                return float(accuracy)
    raise InputError(f"{store.directory}: nothing was validated")


def _text(values: Mapping[str, float]) -> str:
    return " ".join(f"{setting}={value:g}" for setting, value in values.items())

"""Read and describe the searches of an experiment: intervals, budgets, trials and best values."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from asymreinforce.data import determines
from asymreinforce.data.search_records import Interval, SearchRecord, Trial, read_records


class SearchedMethod(NamedTuple):
    """The name of a method, and the record of its search."""

    name: str
    record: SearchRecord


def read_searches(directory: Path) -> list[SearchedMethod]:
    """Read the searches of an experiment; raises `InputError` if a file is damaged."""
    return name_methods(read_records(directory))


def name_methods(records: Sequence[SearchRecord]) -> list[SearchedMethod]:
    """Name each method by its objective and by the other settings in which methods differ."""
    settings = {record.name: record.settings for record in records}
    differing = determines.differing_settings(settings)
    named = [SearchedMethod(_name(r.settings, differing[r.name]), r) for r in records]
    return sorted(named, key=lambda method: method.name)


def _name(settings: Mapping[str, Any], differing: Mapping[str, Any]) -> str:
    own = {k: v for k, v in differing.items() if k != "algorithm.name"}
    objective = str(settings.get("algorithm.name", "asymre"))
    return " ".join([objective, *(f"{key}={_short(value)}" for key, value in own.items())])


def search_sentences(methods: Sequence[SearchedMethod]) -> list[str]:
    """Describe each kind of search in one sentence: intervals, budget and rule of choice."""
    sentences = dict.fromkeys(_sentence(method.record) for method in methods)
    caution = (
        "Validation accuracies of the chosen values are biased upwards, because the values were "
        "chosen by them. Held-out questions were not used to choose."
    )
    return [*sentences, caution] if sentences else []


def _sentence(record: SearchRecord) -> str:
    intervals = ", ".join(map(interval_words, record.intervals))
    seeds = "1 seed" if len(record.seeds) == 1 else f"{len(record.seeds)} seeds"
    checkpoint = "its best checkpoint" if record.value == "best" else "its last validation"
    spread = min(record.spread, record.budget)
    later = record.budget - spread
    proposed = f"{spread} evenly spread" + (f", then {later} by TPE" if later else "")
    return (
        f"Searched for each method: {intervals}; budget {record.budget} trials ({proposed}) of "
        f"{seeds}. Values are chosen by accuracy on {record.questions} validation questions; an "
        f"arm counts by {checkpoint}."
    )


def interval_words(interval: Interval) -> str:
    """Write a searched interval with its setting and its scale."""
    scale = "logarithmic" if interval.is_log else "linear"
    return f"{interval.setting} in [{interval.low:g}, {interval.high:g}] ({scale})"


def values_text(trial: Trial) -> str:
    """Write the values of a trial as the command line takes them."""
    return " ".join(f"{setting}={value:g}" for setting, value in trial.values.items())


def trials_text(record: SearchRecord) -> str:
    """Write all trials in order of their values: `1e-05: 40.0`; accuracies are in percent."""
    trials = sorted(record.trials, key=lambda trial: tuple(trial.values.values()))
    return ", ".join(
        f"{'/'.join(f'{value:g}' for value in trial.values.values())}: {accuracy_text(trial)}"
        for trial in trials
    )


def accuracy_text(trial: Trial | None) -> str:
    """Write a trial's accuracy in percent, "failed", or "none" if there is no trial."""
    if trial is None:
        return "none"
    return "failed" if trial.accuracy is None else f"{100 * trial.accuracy:.1f}"


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)

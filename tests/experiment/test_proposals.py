"""Which values a search tries: by numbers, and without a state of its own."""

import math
import sys
from collections.abc import Callable

import pytest

from asymreinforce.data.search_records import Interval, Trial
from asymreinforce.errors import ConfigError
from asymreinforce.experiment.proposals import propose, require_proposals

LR = Interval("optim.lr", 1e-5, 1e-3, is_log=True, is_whole=False)
BASELINE = Interval("baseline", -0.5, 0.0, is_log=False, is_whole=False)
WARM_UP = Interval("optim.warmup_steps", 0, 8, is_log=False, is_whole=True)


def tried(count: int, *intervals: Interval, spread: int = 99) -> list[dict[str, float]]:
    """Return the values of the first trials, all of one accuracy."""
    trials: list[Trial] = []
    for _ in range(count):
        values = propose(intervals, trials, spread=spread, seed=0)
        trials.append(Trial(values, 0.5))
    return [dict(trial.values) for trial in trials]


def test_the_first_trials_halve_the_interval_again_and_again() -> None:
    assert [values["baseline"] for values in tried(5, BASELINE)] == [
        -0.25, -0.375, -0.125, -0.438, -0.188,
    ]  # fmt: skip
    assert [values["optim.lr"] for values in tried(4, LR)] == [0.0001, 3.16e-5, 0.000316, 1.78e-5]
    assert [values["optim.warmup_steps"] for values in tried(3, WARM_UP)] == [4, 2, 6]


def test_two_settings_are_spread_over_their_square() -> None:
    found = [tuple(values.values()) for values in tried(3, BASELINE, WARM_UP)]
    assert found == [(-0.25, 3), (-0.375, 5), (-0.125, 1)]


def peaked(lr: float) -> float:
    """An accuracy whose best learning rate is 7e-4."""
    return 1 - abs(math.log10(lr / 7e-4))


def searched(count: int, accuracy: Callable[[float], float | None], *, seed: int) -> list[Trial]:
    trials: list[Trial] = []
    for _ in range(count):
        values = propose([LR], trials, spread=4, seed=seed)
        trials.append(Trial(values, accuracy(values["optim.lr"])))
    return trials


def test_tpe_proposes_near_the_best_by_the_trials_before_alone() -> None:
    pytest.importorskip("optuna")
    of_seeds = [searched(16, peaked, seed=seed) for seed in range(4)]
    later = [peaked(trial.values["optim.lr"]) for trials in of_seeds for trial in trials[4:]]
    # uniform draws of the logarithm would have a mean of 0.14
    assert sum(later) / len(later) > 0.4
    trials = of_seeds[1]
    again = propose([LR], trials[:10], spread=4, seed=1)
    assert again == trials[10].values
    assert propose([LR], trials[:10], spread=4, seed=2) != again
    assert all(1e-5 <= trial.values["optim.lr"] <= 1e-3 for trial in trials)


def test_to_tpe_a_failed_trial_is_worse_than_all_others() -> None:
    pytest.importorskip("optuna")
    fails_above = 2e-4
    trials = searched(16, lambda lr: peaked(lr) if lr < fails_above else None, seed=0)
    later = [trial.values["optim.lr"] for trial in trials[8:]]
    assert sum(lr < fails_above for lr in later) >= 5, later


def test_whole_numbers_stay_whole_by_tpe() -> None:
    pytest.importorskip("optuna")
    values = propose([WARM_UP], [Trial({"optim.warmup_steps": 4}, 0.5)], spread=1, seed=0)
    assert values["optim.warmup_steps"] in range(9)
    assert isinstance(values["optim.warmup_steps"], int)


def test_without_optuna_evenly_spread_trials_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert len(tried(3, LR)) == 3
    with pytest.raises(ConfigError, match=r"asymreinforce\[search\].*search.spread"):
        tried(3, LR, spread=2)
    require_proposals(trials=4, spread=4)
    with pytest.raises(ConfigError, match="not installed"):
        require_proposals(trials=5, spread=4)

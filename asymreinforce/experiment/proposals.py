"""Propose the next values of a search from the trials before and the seed, and nothing else.

The first trials are spread evenly by the points of Halton (1960): the middle of an interval, its
quarters, its eighths. Later trials are proposed by optuna's tree-structured Parzen estimator (TPE,
Bergstra et al. 2011).
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from asymreinforce.data.search_records import Interval, Trial
from asymreinforce.errors import ConfigError

DIGITS = 3
"""Significant digits of a proposed value, few enough to type the value by hand."""


def propose(
    intervals: Sequence[Interval], before: Sequence[Trial], *, spread: int, seed: int
) -> dict[str, float]:
    """Return the values of the next trial.

    A trial without an accuracy counts as worse than all others. Raises `ConfigError` if optuna
    is needed and not installed.
    """
    number = len(before)
    # a function of the trial's number, so that every method is tried at the same values
    if number < spread:
        shares = _spread_point(number, dimensions=len(intervals))
        return {i.setting: _value_at(i, share) for i, share in zip(intervals, shares, strict=True)}
    return _tpe_values(intervals, before, seed=seed)


def _spread_point(number: int, *, dimensions: int) -> list[float]:
    """Return Halton's point `number` + 1."""
    # point 0 is skipped: it is the low end of every interval
    from scipy.stats.qmc import Halton

    sequence = Halton(d=dimensions, scramble=False)
    sequence.fast_forward(number + 1)
    return [float(share) for share in sequence.random(1)[0]]


def _value_at(interval: Interval, share: float) -> float:
    """Return the value at a share (0 to 1) of the way through the interval, on its scale."""
    low, high = interval.low, interval.high
    value = low * (high / low) ** share if interval.is_log else low + (high - low) * share
    return _rounded(interval, value)


def _rounded(interval: Interval, value: float) -> float:
    if interval.is_whole:
        return round(value)
    # rounding to DIGITS may leave the interval
    return min(interval.high, max(interval.low, float(f"{value:.{DIGITS}g}")))


def _tpe_values(
    intervals: Sequence[Interval], before: Sequence[Trial], *, seed: int
) -> dict[str, float]:
    # the sampler is rebuilt for each trial, so that a killed search has no state to lose
    optuna = _import_optuna()
    distributions = {i.setting: _distribution(optuna, i) for i in intervals}
    text = f"{seed}/{len(before)}"
    own_seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4])
    sampler = optuna.samplers.TPESampler(n_startup_trials=1, seed=own_seed)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for trial in before:
        study.add_trial(_told(optuna, trial, distributions))
    asked: Mapping[str, float] = study.ask(distributions).params
    return {i.setting: _rounded(i, asked[i.setting]) for i in intervals}


def _distribution(optuna: Any, interval: Interval) -> Any:
    of_kind = optuna.distributions
    if interval.is_whole:
        return of_kind.IntDistribution(int(interval.low), int(interval.high), log=interval.is_log)
    return of_kind.FloatDistribution(interval.low, interval.high, log=interval.is_log)


def _told(optuna: Any, trial: Trial, distributions: Mapping[str, Any]) -> Any:
    # TPE ranks a pruned trial below every trial that has a value
    judged = {"state": optuna.trial.TrialState.PRUNED}
    if trial.accuracy is not None:
        judged = {"value": trial.accuracy}
    return optuna.trial.create_trial(
        params=dict(trial.values), distributions=dict(distributions), **judged
    )


def require_proposals(*, trials: int, spread: int) -> None:
    """Raise `ConfigError` if TPE proposes some of the trials and optuna is not installed."""
    if trials > spread:
        _import_optuna()


def _import_optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise ConfigError(
            f"search.trials beyond search.spread are proposed by optuna, which is not installed "
            f"({error}); run \"pip install 'asymreinforce[search]'\", or set search.spread to "
            "search.trials, whose values are spread evenly"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna

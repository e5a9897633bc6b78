"""Measure which diagnostic predicts a collapse: AUC, and lead time by thresholds of other worlds.

    .venv/bin/python scripts/foresee_collapse.py runs/cups_a runs/cups_b -- runs/other ...

Arms before `--` set the thresholds, and arms after `--` test them. An arm *falls* at the first
evaluated step with an accuracy below half of its best so far, if it is still there at the last
step. Other arms are healthy. An arm counts at step t if it has not fallen by then.

AUC at t: the probability that a falling arm's signal at t is more alarming than a healthy arm's
(ties count half). Alarm: the first step with a signal beyond the threshold. The threshold lets at
most 5% of the healthy arms of the first worlds ever raise an alarm. Lead: the steps from the alarm
to the fall.

Signals are columns of METRICS; signals in nats or norms are relative to the arm's first row.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from asymreinforce.algorithm.ending import PEAK_SHARE
from asymreinforce.data import contracts
from asymreinforce.report.experiment import read_experiment
from asymreinforce.report.records import Experiment, ReportedArm

AT = (20, 40, 60)
FALSE_ALARMS = 0.05


class Signal(NamedTuple):
    """A diagnostic, as a number that rises with the danger."""

    name: str
    column: str
    alarm: Callable[[float, float], float]
    """A function of the value and the first value."""


SIGNALS = (
    Signal("log mean weight", "log_mean_weight", lambda value, first: -value),
    Signal("effective sample size", "ess", lambda value, first: -value),
    Signal("KL in-sample", "kl", lambda value, first: value),
    Signal("gradient norm", "grad_norm", lambda value, first: value / first),
    Signal("cosine of gradients", "momentum_cosine", lambda value, first: value),
    Signal("cosine of gradients, fall", "momentum_cosine", lambda value, first: -value),
    Signal("token entropy, fall", "token_entropy", lambda value, first: first - value),
    Signal("token entropy, rise", "token_entropy", lambda value, first: value - first),
    Signal("log pi of successes, fall", "slice_logp_correct", lambda value, first: first - value),
    Signal("log pi of failures, fall", "slice_logp_incorrect", lambda value, first: first - value),
)


class Watched(NamedTuple):
    """An arm: its signals by name, and the step of its fall; None if it did not fall."""

    world: str
    signals: dict[str, list[tuple[int, float]]]
    fall: int | None


def main(words: list[str]) -> None:
    cut = words.index("--") if "--" in words else len(words)
    first = [arm for path in words[:cut] for arm in watch(read_experiment(Path(path)))]
    others = [arm for path in words[cut + 1 :] for arm in watch(read_experiment(Path(path)))]
    for title, arms in (("thresholds were set on", first), ("tested on", others)):
        falling = sum(arm.fall is not None for arm in arms)
        print(f"{title}: {len(arms)} arms, {falling} fell")
    tested = others or first
    heads = [*(f"AUC at {t}" for t in AT), "threshold", "foreseen", "false alarms", "lead, median"]
    print("\n| signal | " + " | ".join(heads) + " |\n" + "| --- " * (len(heads) + 1) + "|")
    for signal in SIGNALS:
        print(row(signal, first, tested))


def watch(experiment: Experiment) -> list[Watched]:
    return [
        Watched(experiment.name, alarms_of(experiment, arm), fall_of(arm, experiment.split))
        for arm in experiment.arms
        if arm.checkpoints and arm.metrics
    ]


def alarms_of(experiment: Experiment, arm: ReportedArm) -> dict[str, list[tuple[int, float]]]:
    """Return each signal by step, as numbers that rise with the danger."""
    places = sorted((experiment.directory / "train" / arm.id / "metrics").glob("step-*.parquet"))
    rows = [
        row for path in places for row in contracts.read_table(path, contracts.METRICS).to_pylist()
    ]
    series = {}
    for signal in SIGNALS:
        known = [
            (row["step"], row[signal.column]) for row in rows if row[signal.column] is not None
        ]
        if known:
            start = known[0][1]
            series[signal.name] = [(step, signal.alarm(value, start)) for step, value in known]
    return series


def fall_of(arm: ReportedArm, split: str) -> int | None:
    """Return the first evaluated step below half of the best so far, if the last step is too."""
    points = sorted((c.step, c.accuracy) for c in arm.checkpoints if c.split == split)
    peak, fall = 0.0, None
    for step, accuracy in points:
        peak = max(peak, accuracy)
        is_below = accuracy < PEAK_SHARE * peak
        fall = (fall if fall is not None else step) if is_below else None
    return fall


def row(signal: Signal, first: Sequence[Watched], tested: Sequence[Watched]) -> str:
    aucs = [auc_at(step, signal.name, tested) for step in AT]
    threshold = threshold_of(signal.name, first)
    alarms = [(arm, alarm_step(arm, signal.name, threshold)) for arm in tested]
    falling = [(arm.fall, alarm) for arm, alarm in alarms if arm.fall is not None]
    leads = [fall - alarm for fall, alarm in falling if alarm is not None and alarm < fall]
    false = [alarm for arm, alarm in alarms if arm.fall is None]
    cells = (
        *("-" if auc is None else f"{auc:.2f}" for auc in aucs),
        f"{threshold:.2g}",
        f"{len(leads)} of {len(falling)}",
        f"{sum(alarm is not None for alarm in false)} of {len(false)}",
        f"{np.median(leads):.0f} steps" if leads else "-",
    )
    return f"| {signal.name} | {' | '.join(cells)} |"


def auc_at(step: int, name: str, arms: Sequence[Watched]) -> float | None:
    """Return P(signal of a falling arm > signal of a healthy arm) at a step; None without both."""
    falling, healthy = [], []
    for arm in arms:
        value = value_at(arm, name, step)
        if value is None or (arm.fall is not None and arm.fall <= step):
            continue
        (healthy if arm.fall is None else falling).append(value)
    if not falling or not healthy:
        return None
    a, b = np.array(falling)[:, None], np.array(healthy)[None, :]
    return float(((a > b) + 0.5 * (a == b)).mean())


def value_at(arm: Watched, name: str, step: int) -> float | None:
    """Return the latest value up to a step."""
    known = [value for at, value in arm.signals.get(name, []) if at <= step]
    return known[-1] if known else None


def threshold_of(name: str, arms: Sequence[Watched]) -> float:
    """Return the threshold that at most a share `FALSE_ALARMS` of the healthy arms ever pass."""
    highest = [
        max(value for _, value in arm.signals[name])
        for arm in arms
        if arm.fall is None and arm.signals.get(name)
    ]
    return float(np.quantile(highest, 1 - FALSE_ALARMS)) if highest else float("inf")


def alarm_step(arm: Watched, name: str, threshold: float) -> int | None:
    return next((step for step, value in arm.signals.get(name, []) if value > threshold), None)


if __name__ == "__main__":
    main(sys.argv[1:])

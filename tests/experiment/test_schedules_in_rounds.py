"""Schedules in rounds: over all steps of the run, and on from where it was killed."""

import itertools
from pathlib import Path
from typing import Any

import pytest

from tests.experiment.test_interrupted_rounds import kill_at, payload
from tests.fixtures.rounds import KilledError, rows_of, run, settings

CHANGING: dict[str, Any] = {
    "optim__schedule": "linear",
    "optim__final_lr_share": 0.5,
    "baseline_schedule": "staleness",
    "baseline_target": 0.0,
    "baseline_gain": 0.01,
    "train__diagnostics_every": 1,
}


def test_a_schedule_spans_all_rounds_and_a_killed_run_has_the_same_bytes(
    tmp_path: Path, random_policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = run(settings(tmp_path / "whole", random_policy, **CHANGING))
    rows = [row for row in rows_of(whole) if row["lr"] is not None]
    assert [row["lr"] for row in rows] == pytest.approx([1e-3 * (1 - 0.1 * n) for n in range(6)])
    for row, following in itertools.pairwise(rows):
        moved = row["baseline"] + 0.01 * row["log_mean_weight"]
        assert following["baseline"] == pytest.approx(min(0.0, moved))
    assert len({row["baseline"] for row in rows}) == 6

    cut = settings(tmp_path / "cut", random_policy, **CHANGING)
    with monkeypatch.context() as patched:
        kill_at(4, patched)
        with pytest.raises(KilledError):
            run(cut)
    assert payload(run(cut)[0]) == payload(whole)

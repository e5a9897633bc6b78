"""The benchmark of objectives: equal steps, and sequences that are skipped."""

from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture
def bench_objectives(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import bench_objectives

    return bench_objectives


@pytest.mark.slow
def test_sequences_without_a_coefficient_are_no_part_of_a_step(bench_objectives: Any) -> None:
    rows = bench_objectives.measure(sequences=16, repeats=1, toy=True)
    share = {row["objective"]: row["share_of_tokens"] for row in rows}
    assert rows[0]["to_asymre"] == 1.0
    assert share["asymre"] == share["asymmetric, as asymre"] == share["m2po"] == 1.0
    positives, negatives = share["asymmetric, positives only"], share["asymmetric, negatives only"]
    assert 0.1 < positives < 0.9
    assert positives + negatives == pytest.approx(1.0)

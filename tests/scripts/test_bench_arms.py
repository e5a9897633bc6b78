"""The benchmark of arms side by side times steps, each of which has the clock to itself."""

import threading
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture
def bench_arms(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import bench_arms

    return bench_arms


def test_runs_take_a_step_each_in_turn_until_they_end(bench_arms: Any) -> None:
    turns, order = bench_arms.Turns(3), []

    def run(number: int, steps: int) -> None:
        for step in range(steps):
            turns.take(number)
            order.append((number, step))
            turns.pass_on(number)
        turns.take(number)
        turns.pass_on(number, is_last=True)

    threads = [threading.Thread(target=run, args=(n, steps)) for n, steps in enumerate((2, 1, 3))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert order == [(0, 0), (1, 0), (2, 0), (0, 1), (2, 1), (2, 2)]
    assert [len(seconds) for seconds in turns.seconds] == [2, 1, 3]

"""Progress: plain lines where nobody sits at a terminal, and silence where a parent speaks."""

import pytest

from asymreinforce import progress


def test_off_a_terminal_a_stage_ends_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.bar("generate", total=10, unit="completions", done=4) as advance:
        advance(6)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("generate: 10/10 completions in ")


def test_a_stage_that_had_nothing_to_do_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.bar("generate", total=10, unit="completions", done=10):
        pass
    assert capsys.readouterr().err == ""


def test_a_long_stage_says_how_far_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    with progress.bar("train", total=4, unit="steps") as advance:
        advance(1)
        advance(1)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines[:2]] == ["train: 1/4 steps", "train: 2/4 steps"]
    assert all(line.endswith("s left") for line in lines[:2])


@pytest.mark.parametrize(
    ("seconds", "pace"), [(0.01, "100.0/s"), (1.0, "1.0/s"), (26.4, "26 s each")]
)
def test_slow_units_are_told_by_what_each_takes(
    seconds: float,
    pace: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = iter([0.0, seconds, seconds])
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))  # type: ignore[attr-defined]
    with progress.bar("train", total=3, unit="arms") as advance:
        advance(1)
    line = capsys.readouterr().err.splitlines()[0]
    assert line == f"train: 1/3 arms, {pace}, {2 * seconds:.0f} s left"


def test_hushed_processes_say_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.hush_output():
        progress.say("never")
        with progress.bar("train", total=1, unit="steps") as advance:
            advance(1)
    progress.say("again")
    assert capsys.readouterr().err == "again\n"


def test_watching_others_reports_what_they_did(capsys: pytest.CaptureFixture[str]) -> None:
    done = iter([1, *[3] * 1000])
    with progress.watch_progress("evaluate", total=3, unit="checkpoints", count=lambda: next(done)):
        pass
    assert capsys.readouterr().err.startswith("evaluate: 3/3 checkpoints in ")

"""What an arm in training tells: its directory about each second, people at each checkpoint."""

from pathlib import Path

import pytest

from asymreinforce.data import files
from asymreinforce.data.arm_progress import (
    ArmProgress,
    progress_path,
    publish_progress,
    read_progress,
)
from asymreinforce.stages.train.reporter import Reporter


@pytest.fixture
def arm(tmp_path: Path) -> Path:
    return tmp_path / "train" / "0123"


def an_arm(directory: Path, *, done: int = 0, is_first: bool = True) -> Reporter:
    return Reporter(directory, steps=8, done=done, is_first=is_first)


def step(telling: Reporter, number: int, *, is_checkpoint: bool = False, **metrics: object) -> None:
    telling.after(number, metrics, steps=8, tokens=100, is_checkpoint=is_checkpoint)


def test_a_checkpoint_is_told_in_numbers(arm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    telling = an_arm(arm)
    telling.begin(goes_on=False)
    step(telling, 1, loss=2.0, reward=0.5, kl=0.25)
    assert capsys.readouterr().err == ""
    step(telling, 2, loss=1.5, reward=0.75, validation_accuracy=0.5, kl=None, is_checkpoint=True)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        "train: step 2 of 8: loss 1.5, batch reward 0.75, validation 50.0%, KL in-sample 0.25, "
    )
    assert "tokens/s" in line and line.endswith(" left")


def test_a_step_that_follows_at_once_writes_no_file(arm: Path) -> None:
    telling = an_arm(arm)
    telling.begin(goes_on=False)
    step(telling, 1)
    assert read_progress(arm).step == 0  # type: ignore[union-attr]
    step(telling, 2, is_checkpoint=True)
    assert read_progress(arm).step == 2  # type: ignore[union-attr]


def test_a_long_way_between_checkpoints_is_told_every_minute(
    arm: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr("asymreinforce.stages.train.reporter.time.monotonic", lambda: now[0])
    telling = an_arm(arm)
    telling.begin(goes_on=False)
    for number in range(1, 6):
        now[0] += 25
        step(telling, number)
    told = [line.split(": ")[1] for line in capsys.readouterr().err.splitlines()]
    assert told == ["step 3 of 8"]


def test_how_an_arm_ended_is_told_in_one_line(arm: Path) -> None:
    telling = an_arm(arm)
    telling.begin(goes_on=False)
    step(telling, 3)
    telling.ended("failed", "\nthe loss is not finite\nmore\n")
    found = read_progress(arm)
    assert found is not None
    assert (found.step, found.state, found.reason) == (3, "failed", "the loss is not finite")
    assert found.seconds_left is None


def test_other_ranks_tell_nothing(arm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    telling = an_arm(arm, is_first=False)
    telling.begin(goes_on=False)
    step(telling, 2, is_checkpoint=True)
    telling.ended("done")
    assert list(arm.parents[1].rglob("*")) == []
    assert capsys.readouterr().err == ""


def test_the_time_left_in_rounds_counts_what_lies_between_them(arm: Path) -> None:
    telling = an_arm(arm)
    telling.begin(goes_on=False)
    before = read_progress(arm)
    assert before is not None
    long_ago = before._replace(step=2, since=before.since - 600, reward=0.25)
    publish_progress(arm, long_ago)
    later = an_arm(arm, done=2)
    later.begin(goes_on=True)
    found = read_progress(arm)
    assert found is not None and found.seconds_left == pytest.approx(1800, rel=0.01)
    assert found.reward == 0.25  # what was known is known still
    alone = an_arm(arm, done=2)
    alone.begin(goes_on=False)
    assert read_progress(arm).seconds_left is None  # type: ignore[union-attr]


def test_another_process_s_clock_is_not_gone_on_with(arm: Path) -> None:
    publish_progress(arm, ArmProgress(2, 8, "running", since=1.0))
    path = progress_path(arm)
    path.write_text(path.read_text().replace('"process": ', '"process": 9'))
    telling = an_arm(arm, done=2)
    telling.begin(goes_on=True)
    assert read_progress(arm).from_step == 2  # type: ignore[union-attr]


def test_what_a_killed_process_left_half_written_is_removed(arm: Path) -> None:
    publish_progress(arm, ArmProgress(1, 8, "running"))
    leftover = files.temporary_of(progress_path(arm))
    leftover.write_text("{")
    an_arm(arm).begin(goes_on=False)
    assert [path.name for path in arm.parents[1].rglob("*.json")] == ["progress-0123.json"]

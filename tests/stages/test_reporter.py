"""What an arm in training tells: its directory about each second, people at each checkpoint."""

from pathlib import Path

import pytest

from asymreinforce.data.arm_progress import ArmProgress, publish_progress, read_progress
from asymreinforce.stages.train import reporter
from asymreinforce.stages.train.reporter import Reporter


def an_arm(directory: Path, *, done: int = 0, is_first: bool = True) -> Reporter:
    return Reporter(directory, steps=8, done=done, is_first=is_first)


def step(telling: Reporter, number: int, *, is_checkpoint: bool = False, **metrics: object) -> None:
    telling.after(number, metrics, steps=8, tokens=100, is_checkpoint=is_checkpoint)


def test_a_checkpoint_is_told_in_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    telling = an_arm(tmp_path)
    telling.begin(goes_on=False)
    step(telling, 1, loss=2.0, reward=0.5, kl=0.25)
    assert capsys.readouterr().err == ""
    step(telling, 2, loss=1.5, reward=0.75, validation_accuracy=0.5, kl=None, is_checkpoint=True)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("train: step 2 of 8: loss 1.5, reward 0.75, validation 50.0%, KL 0.25, ")
    assert "tokens/s" in line and line.endswith(" left")


def test_a_step_that_follows_at_once_writes_no_file(tmp_path: Path) -> None:
    telling = an_arm(tmp_path)
    telling.begin(goes_on=False)
    step(telling, 1)
    assert read_progress(tmp_path).step == 0  # type: ignore[union-attr]
    step(telling, 2, is_checkpoint=True)
    assert read_progress(tmp_path).step == 2  # type: ignore[union-attr]


def test_a_long_way_between_checkpoints_is_told_every_minute(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(reporter.time, "monotonic", lambda: now[0])
    telling = an_arm(tmp_path)
    telling.begin(goes_on=False)
    for number in range(1, 6):
        now[0] += 25
        step(telling, number)
    told = [line.split(": ")[1] for line in capsys.readouterr().err.splitlines()]
    assert told == ["step 3 of 8"]


def test_how_an_arm_ended_is_told_in_one_line(tmp_path: Path) -> None:
    telling = an_arm(tmp_path)
    telling.begin(goes_on=False)
    step(telling, 3)
    telling.ended("failed", "\nthe loss is not finite\nmore\n")
    found = read_progress(tmp_path)
    assert found is not None
    assert (found.step, found.state, found.reason) == (3, "failed", "the loss is not finite")
    assert found.seconds_left is None


def test_other_ranks_tell_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    telling = an_arm(tmp_path, is_first=False)
    telling.begin(goes_on=False)
    step(telling, 2, is_checkpoint=True)
    telling.ended("done")
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().err == ""


def test_the_time_left_in_rounds_counts_what_lies_between_them(tmp_path: Path) -> None:
    telling = an_arm(tmp_path)
    telling.begin(goes_on=False)
    before = read_progress(tmp_path)
    assert before is not None
    long_ago = before._replace(step=2, since=before.since - 600, reward=0.25)
    publish_progress(tmp_path, long_ago)
    later = an_arm(tmp_path, done=2)
    later.begin(goes_on=True)
    found = read_progress(tmp_path)
    assert found is not None and found.seconds_left == pytest.approx(1800, rel=0.01)
    assert found.reward == 0.25  # what was known is known still
    alone = an_arm(tmp_path, done=2)
    alone.begin(goes_on=False)
    assert read_progress(tmp_path).seconds_left is None  # type: ignore[union-attr]


def test_another_process_s_clock_is_not_gone_on_with(tmp_path: Path) -> None:
    publish_progress(tmp_path, ArmProgress(2, 8, "running", since=1.0))
    path = tmp_path / "progress.json"
    path.write_text(path.read_text().replace('"process": ', '"process": 9'))
    telling = an_arm(tmp_path, done=2)
    telling.begin(goes_on=True)
    assert read_progress(tmp_path).from_step == 2  # type: ignore[union-attr]

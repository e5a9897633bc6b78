"""An arm's progress in its directory, and in words."""

import json
import math
from pathlib import Path

import pytest

from asymreinforce.data import files
from asymreinforce.data.arm_progress import (
    ArmProgress,
    duration,
    progress_path,
    publish_progress,
    read_progress,
    words,
)


def test_progress_is_read_back_as_it_was_written_with_who_wrote_it(tmp_path: Path) -> None:
    arm = tmp_path / "train" / "0123"
    publish_progress(arm, ArmProgress(3, 8, "running", reward=-0.5))
    found = read_progress(arm)
    assert found is not None and found.is_mine and found.written > 0
    assert (found.step, found.steps, found.state, found.reward) == (3, 8, "running", -0.5)
    # nothing in the arm's directory, nor beside it
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [
        tmp_path / "logs" / "progress-0123.json"
    ]


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '"text"', '{"step": 1}', '{"step": "1", "steps": 2, "state": "done"}',
     '{"step": 1, "steps": 2, "state": "done", "reward": "x"}',
     '{"step": 1, "steps": 2, "state": 3}',
     '{"step": 1, "steps": 2, "state": "done", "new": 1}'],
)  # fmt: skip
def test_a_file_that_does_not_hold_progress_tells_nothing(tmp_path: Path, content: str) -> None:
    arm = tmp_path / "train" / "0123"
    publish_progress(arm, ArmProgress(3, 8, "running"))
    progress_path(arm).write_text(content)
    assert read_progress(arm) is None


def test_a_number_that_is_not_finite_is_null_in_the_file(tmp_path: Path) -> None:
    arm = tmp_path / "train" / "0123"
    publish_progress(arm, ArmProgress(3, 8, "running", loss=math.nan, kl=math.inf))
    assert "NaN" not in progress_path(arm).read_text()
    found = read_progress(arm)
    assert found is not None and found.loss is None and found.kl is None


def test_a_directory_that_cannot_be_written_does_not_end_the_training(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file in place of the folder")
    publish_progress(tmp_path / "train" / "0123", ArmProgress(1, 2, "running"))
    assert [path.name for path in tmp_path.iterdir()] == ["logs"]


def test_telling_is_no_failpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "failpoints"
    monkeypatch.setenv("ASYMRL_FAILPOINT_LOG", str(log))
    publish_progress(tmp_path / "train" / "0123", ArmProgress(1, 2, "running"))
    assert not log.exists()
    files.publish_json(tmp_path / "other.json", {})
    assert log.exists()


def test_words_leave_out_what_is_not_known() -> None:
    assert words(ArmProgress(0, 8, "running")) == "step 0 of 8"
    told = ArmProgress(
        120, 400, "running", loss=0.5, reward=0.3125, validation_accuracy=0.452, kl=float("nan"),
        tokens_per_second=12345.6, seconds_left=200,
    )  # fmt: skip
    assert words(told) == (
        "step 120 of 400: loss 0.5, batch reward 0.312, validation 45.2%, 12,346 tokens/s, "
        "3 min left"
    )


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.4, "0 s"), (59.4, "59 s"), (60, "1 min"), (3599, "1 h"), (7800, "2 h 10 min"),
     (86400, "1 d"), (273_600, "3 d 4 h"), (None, ""), (float("inf"), "")],
)  # fmt: skip
def test_durations_have_their_two_largest_units(seconds: float | None, expected: str) -> None:
    assert duration(seconds) == expected


def test_progress_is_json_that_other_programs_read(tmp_path: Path) -> None:
    arm = tmp_path / "train" / "0123"
    publish_progress(arm, ArmProgress(1, 2, "stopped", "why"))
    assert json.loads(progress_path(arm).read_text())["reason"] == "why"

"""A sweep shows every arm in training, by what arms write in their directories."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from asymreinforce.data.arm_progress import ArmProgress, publish_progress, read_progress
from asymreinforce.experiment import watching
from asymreinforce.experiment.watching import Seen, SpokenLines, drawn, look, watched
from asymreinforce.progress import hush_output

RUNNING = ArmProgress(
    120, 400, "running", loss=0.5, reward=0.31, validation_accuracy=0.45, kl=0.012,
    tokens_per_second=2300, seconds_left=200,
)  # fmt: skip


def seen(**running: ArmProgress) -> Seen:
    return Seen(running, {}, {}, 1, 1 + len(running))


def picture(what: Seen, *, width: int, height: int = 24) -> str:
    console = Console(width=width, file=io.StringIO())
    console.print(drawn(what, width=width, height=height))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_an_arm_is_in_training_once_it_tells_so_and_ended_once_it_is_complete(
    tmp_path: Path,
) -> None:
    train = tmp_path / "train"
    names = {train / name: name for name in ("waits", "old", "runs", "done", "broken")}
    for directory in names:
        directory.mkdir(parents=True)
    publish_progress(train / "old", RUNNING)  # by a process that was killed

    before = {directory: read_progress(directory) for directory in names}
    for name in ("runs", "done", "broken"):
        publish_progress(train / name, RUNNING)
    (train / "done/manifest.json").write_text("{}")
    (train / "broken/failure.json").write_text('{"error": "a reason\\nmore", "log": "x"}')
    found = look(names, before, total=7)
    assert set(found.running) == {"runs"}
    assert set(found.ended) == {"done"}
    assert found.failed == {"broken": "a reason"}
    assert (found.done, found.total) == (3, 7)  # two were complete before


def test_in_a_pipe_a_line_tells_of_each_arm_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now, told = [0.0], list[str]()
    monkeypatch.setattr("asymreinforce.experiment.watching.time.monotonic", lambda: now[0])
    lines = SpokenLines(told.append)
    for _ in range(5):
        now[0] += 25
        lines.show(seen(one=RUNNING, two=RUNNING))
    assert told == [
        f"train {name}: step 120 of 400: loss 0.5, batch reward 0.31, validation 45.0%, "
        "KL in-sample 0.012, 2,300 tokens/s, 3 min left"
        for name in ("one", "two")
    ]


def test_in_a_pipe_the_end_of_an_arm_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    lines = SpokenLines(told.append)
    ended = Seen({}, {"one": RUNNING, "two": None}, {"three": "no memory"}, 1, 5)
    lines.show(ended)
    lines.show(ended)
    assert [line.split(", batch")[0] for line in told] == [
        "train: 2/5 arms; one: step 120 of 400: loss 0.5",
        "train: 3/5 arms; two",
        "train: three failed: no memory",
    ]


def test_many_arms_are_not_all_told_of_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "SECONDS_BETWEEN_LINES", 0.0)
    told: list[str] = []
    SpokenLines(told.append).show(seen(**{f"arm{n}": RUNNING for n in range(20)}))
    assert len(told) == 9 and "12 more arms" in told[-1]


def test_a_wide_terminal_shows_every_number() -> None:
    first, arm, last = picture(seen(**{"baseline=-0.1 seed=0": RUNNING}), width=100).splitlines()
    assert first.split() == [
        "arm",
        "step",
        "left",
        "batch",
        "r",
        "valid.",
        "KL",
        "in-sample",
        "tok/s",
    ]
    assert arm.split() == [
        *("baseline=-0.1", "seed=0", "120/400", "3", "min", "0.31", "45.0%", "0.012", "2,300")
    ]
    assert last.strip() == "train: 1/2 arms complete"


@pytest.mark.parametrize("width", [30, 40, 60, 80])
def test_a_narrow_terminal_shows_the_numbers_for_which_there_is_room(width: int) -> None:
    shown = picture(seen(**{"baseline=-0.1 seed=0": RUNNING}), width=width)
    assert all(len(line.rstrip()) <= width for line in shown.splitlines())
    assert "120/400" in shown and "…" not in shown
    assert ("2,300" in shown) == (width >= 80)


def test_a_low_terminal_shows_as_many_arms_as_it_has_lines() -> None:
    many = seen(**{f"arm{n}": RUNNING for n in range(30)})
    lines = picture(many, width=80, height=12).splitlines()
    assert len(lines) <= 12
    assert lines[-1].strip() == "train: 1/31 arms complete, 22 more in training"


def test_a_sweep_says_what_it_trained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = tmp_path / "train" / "arm"
    directory.mkdir(parents=True)
    with watched({directory: "seed=0"}, total=1), hush_output():
        publish_progress(directory, RUNNING._replace(step=400, state="done", seconds_left=None))
        (directory / "manifest.json").write_text(json.dumps({}))
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith("train: 1/1 arms; seed=0: step 400 of 400: loss 0.5")
    assert last.startswith("train: 1/1 arms complete, in ")


def test_a_process_whose_parent_speaks_shows_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with hush_output(), watched({tmp_path: "seed=0"}, total=1):
        (tmp_path / "manifest.json").write_text("{}")
    assert capsys.readouterr().err == ""

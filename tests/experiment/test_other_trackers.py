"""trackio and TensorBoard behind the same protocol, by stand-ins of both.

What the stand-ins take was compared with trackio 0.43 and tensorboard 2.21 once, by hand.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from asymreinforce.errors import ConfigError
from asymreinforce.report.write import write_report
from asymreinforce.tracking import require_tracker, track_report, tracker
from tests.fixtures.experiments import small_config
from tests.fixtures.made_up_experiment import make_experiment, sweep

Call = tuple[Any, ...]


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs directory of a sweep of two baselines and three seeds, reported."""
    runs_dir = tmp_path_factory.mktemp("tracked")
    directory = make_experiment(runs_dir / "small", sweep([-0.3, 0.3]), metric_files=1)
    write_report(directory)
    return runs_dir


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Call]]:
    """What either stand-in was told, in order."""
    told: list[Call] = []
    for package in ("trackio", "tensorboard"):
        (tmp_path / f"{package}.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "trackio", trackio_like(told))
    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = writer_like(told)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    yield told


def trackio_like(told: list[Call]) -> ModuleType:
    from importlib.machinery import ModuleSpec

    class Run:
        def log(self, metrics: dict[str, Any], step: int | None = None) -> None:
            told.append(("log", metrics, step))

        def finish(self) -> None:
            print("* Run finished")
            told.append(("finish",))

    class Current:
        def get(self) -> None:
            return None

    def init(**options: Any) -> Run:
        print("* Created new run")
        told.append(("init", options))
        return Run()

    module = ModuleType("trackio")
    module.__spec__ = ModuleSpec("trackio", None)
    contents = {
        "init": init,
        "Table": lambda columns, data: ("table", columns, data),
        "Image": lambda value, caption: ("image", value, caption),
        "context_vars": type("context_vars", (), {"current_run": Current()}),
    }
    for name, value in contents.items():
        setattr(module, name, value)
    return module


def writer_like(told: list[Call]) -> type:
    class SummaryWriter:
        def __init__(self, log_dir: str, purge_step: int | None = None):
            self._name = Path(log_dir).name
            told.append(("open", self._name, purge_step))

        def add_scalar(self, tag: str, value: float, step: int) -> None:
            told.append(("scalar", self._name, tag, value, step))

        def add_hparams(self, settings: Any, last: Any, *, run_name: str, global_step: int) -> None:
            told.append(("hparams", self._name, settings, last, global_step))

        def add_text(self, tag: str, text: str) -> None:
            told.append(("text", tag, text))

        def add_image(self, tag: str, image: Any, *, dataformats: str) -> None:
            told.append(("image", tag, image.shape, dataformats))

        def close(self) -> None:
            told.append(("close", self._name))

    return SummaryWriter


def of(calls: list[Call], kind: str) -> list[Call]:
    return [call[1:] for call in calls if call[0] == kind]


def test_trackio_gets_an_arm_s_metrics_in_a_private_run_of_the_experiment_s_group(
    calls: list[Call], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = small_config(tmp_path, policy="a", tracker__name="trackio", seed=3)
    with tracker(config, arm="0123456789abcdef") as log:
        log({"step": 2, "loss": 0.5, "kl": None})
    ((options,),) = of(calls, "init")
    assert options["name"] == "asymre baseline=-0.1 seed=3 01234567"
    assert (options["project"], options["group"]) == ("asymreinforce", "small")
    assert (options["resume"], options["private"]) == ("allow", True)
    assert calls[1:] == [("log", {"loss": 0.5}, 2), ("finish",)]
    assert capsys.readouterr().out == ""  # which is for the results of commands


def test_trackio_gets_held_out_accuracy_by_step_and_the_summary_as_a_table(
    calls: list[Call], experiment: Path
) -> None:
    config = small_config(experiment, policy="embedded", tracker__name="trackio")
    track_report(config)
    names = [options["name"] for (options,) in of(calls, "init")]
    assert len(names) == 7 and names[-1].startswith("small summary ")
    points = [(step, metrics["held_out/accuracy"]) for metrics, step in of(calls, "log")[:6]]
    assert [step for step, _ in points] == [0, 30, 60, 90, 120, 150]
    last, _ = of(calls, "log")[-1]
    kind, columns, rows = last["summary"]
    assert kind == "table" and columns[:3] == ["arm", "algorithm", "baseline"] and len(rows) == 6
    assert "figures/phase-transition" in last


def test_tensorboard_gets_the_same_as_event_files(
    calls: list[Call], experiment: Path, tmp_path: Path
) -> None:
    config = small_config(tmp_path, policy="a", tracker__name="tensorboard", seed=3)
    with tracker(config, arm="0123456789abcdef") as log:
        log({"step": 2, "loss": 0.5, "kl": None})
    name = "asymre_baseline=-0.1_seed=3_01234567"
    # what a try that was interrupted logged of later steps is dropped
    assert calls == [
        ("open", name, 2),
        ("scalar", name, "training/loss", 0.5, 2),
        ("close", name),
    ]
    calls.clear()
    track_report(small_config(experiment, policy="embedded", tracker__name="tensorboard"))
    by_arm: dict[str, list[int]] = {}
    for arm, tag, _, step in of(calls, "scalar"):
        if tag == "held_out/accuracy":
            by_arm.setdefault(arm, []).append(step)
    assert len(by_arm) == 6
    assert all(steps == sorted(steps) and steps[0] == 0 for steps in by_arm.values())
    baselines = [settings["baseline"] for _, settings, _, _ in of(calls, "hparams")]
    assert sorted(baselines) == [-0.3, -0.3, -0.3, 0.3, 0.3, 0.3]
    ((tag, text),) = of(calls, "text")
    assert tag == "summary" and text.startswith("| arm | algorithm | baseline |")
    assert len(text.splitlines()) == 8
    assert {tag for tag, _, _ in of(calls, "image")} >= {"figures/phase-transition"}


def test_what_was_logged_is_not_logged_again(calls: list[Call], tmp_path: Path) -> None:
    directory = make_experiment(tmp_path / "runs" / "small", sweep([-0.3]), metric_files=1)
    config = small_config(tmp_path / "runs", policy="embedded", tracker__name="trackio")
    track_report(config)
    assert len(of(calls, "init")) == 4
    calls.clear()
    track_report(config)
    assert len(of(calls, "init")) == 1  # the summary's, which is drawn anew
    another = small_config(
        tmp_path / "runs", policy="embedded", tracker__name="trackio", tracker__project="other"
    )
    track_report(another)
    assert len(of(calls, "init")) == 5
    assert (directory / "logs").is_dir()


def test_evaluations_that_were_lost_are_logged_by_the_next_command(
    calls: list[Call], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    make_experiment(tmp_path / "runs" / "small", sweep([-0.3]), metric_files=1)
    config = small_config(tmp_path / "runs", policy="embedded", tracker__name="trackio")
    open_run = sys.modules["trackio"].init

    def broken(**options: Any) -> Any:
        run = open_run(**options)
        run.log = lambda *_, **__: 1 / 0
        return run

    monkeypatch.setattr(sys.modules["trackio"], "init", broken)
    track_report(config)
    assert "warning: trackio lost a run (division by zero)" in capsys.readouterr().err
    monkeypatch.setattr(sys.modules["trackio"], "init", open_run)
    calls.clear()
    track_report(config)
    assert len(of(calls, "init")) == 4


def test_an_arm_whose_settings_are_gone_is_logged_all_the_same(
    calls: list[Call], tmp_path: Path
) -> None:
    directory = make_experiment(tmp_path / "runs" / "small", sweep([-0.3]), metric_files=1)
    for path in directory.glob("train/*/config.json"):
        path.unlink()
    track_report(small_config(tmp_path / "runs", policy="embedded", tracker__name="trackio"))
    names = [options["name"] for (options,) in of(calls, "init")]
    assert names[0].startswith("asymre baseline=-0.3 seed=0 ")


@pytest.mark.parametrize(
    ("name", "extra"), [("wandb", "track"), ("trackio", "trackio"), ("tensorboard", "tensorboard")]
)
def test_a_tracker_that_is_not_installed_is_refused_by_its_extra(
    name: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda package: None)
    config = small_config(tmp_path, policy="a", tracker__name=name)
    for work in (lambda: require_tracker(config), lambda: tracker(config, arm="a").__enter__()):
        with pytest.raises(ConfigError, match=f"install the extra '{extra}'"):
            work()

"""`asymrl status`: where an experiment stands, by what is on disk, whoever works on it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from asymreinforce.data import files
from asymreinforce.data.arm_progress import ArmProgress, progress_path, publish_progress
from asymreinforce.data.arm_settings import Failure, publish_failure, publish_settings
from asymreinforce.data.store import Store
from asymreinforce.viewing.status import read_status
from tests.fixtures.commands import asymrl, refused
from tests.fixtures.experiments import small_config

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "vllm", "transformers", "pyarrow", "matplotlib", "numpy", "hydra"}


def arm(runs_dir: Path, *, seed: int) -> Store:
    """An arm that has its plan and its settings, and no shard yet."""
    config = small_config(runs_dir, policy="embedded", seed=seed)
    store = Store(config.directory / "train", {"seed": seed, "baseline": -0.1})
    store.plan(["metrics/step-000008.parquet"])
    publish_settings(store, config)
    return store


def told(store: Store, progress: ArmProgress, *, by: int | None = None) -> None:
    publish_progress(store.directory, progress)
    if by is not None:
        path = progress_path(store.directory)
        files.publish_json(path, {**files.read_json(path), "process": by})


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    """Five arms: done, collapsed early, failed, interrupted, and killed at step 5 of 8."""
    done, collapsed, failed, interrupted, killed = (arm(tmp_path, seed=n) for n in range(5))
    for store, facts in ((done, {"steps": 8}), (collapsed, {"steps": 6, "collapse_step": 6})):
        store.publish(store.planned[0], lambda path: files.publish_json(path, {}))
        store.close(facts)
        told(store, ArmProgress(facts["steps"], facts["steps"], "done", reward=0.5))
    told(failed, ArmProgress(3, 8, "failed", "not finite"))
    publish_failure(failed.directory, Failure("step 3 is not finite: lower optim.lr\nmore", "log"))
    told(interrupted, ArmProgress(4, 8, "stopped", "it was interrupted"))
    told(killed, ArmProgress(5, 8, "running", seconds_left=60), by=2**22 + 1)
    return tmp_path / "small"


def test_every_arm_has_its_state_and_its_reason(experiment: Path) -> None:
    found = {arm.name: arm for arm in read_status(experiment).arms}
    assert list(found) == [f"baseline=-0.1 seed={seed}" for seed in range(5)]
    states = [(arm.state, arm.reason.split(" on ")[0]) for arm in found.values()]
    assert states == [
        ("done", ""),
        ("done", "collapsed at step 6"),
        ("failed", "step 3 is not finite: lower optim.lr"),
        ("stopped", "it was interrupted"),
        ("stopped", f"process {2**22 + 1}"),
    ]
    assert [arm.progress and arm.progress.step for arm in found.values()] == [8, 6, 3, 4, 5]
    assert read_status(experiment).line == "nothing runs: arms 2 done, 2 stopped, 1 failed"


def test_an_arm_that_a_process_holds_is_running_and_names_the_process(experiment: Path) -> None:
    configs = experiment.glob("train/*/config.json")
    (place,) = (path.parent for path in configs if files.read_json(path)["seed"] == 4)
    program = (
        "import sys, time; from pathlib import Path; from asymreinforce.data import lease\n"
        "with lease.held(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program, str(place)], cwd=ROOT, stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout and holder.stdout.readline() == b"held\n"
        found = read_status(experiment)
        assert found.counts == {"done": 2, "failed": 1, "stopped": 1, "running": 1}
        (running,) = [arm for arm in found.arms if arm.state == "running"]
        assert f"process {holder.pid} on " in running.reason
        shown = asymrl("status", str(experiment))
        assert "training: arms 2 done, 1 running" in " ".join(shown.out.split())
        assert "1 min" in shown.out
    finally:
        holder.kill()
        holder.wait()
    assert read_status(experiment).counts["running"] == 0


def test_settings_and_progress_that_cannot_be_read_leave_an_arm_its_state(experiment: Path) -> None:
    for path in experiment.glob("train/*/config.json"):
        path.write_text("{")
    for path in experiment.glob("logs/progress-*.json"):
        path.write_text("[]")
    found = read_status(experiment).arms
    assert sorted(arm.state for arm in found) == ["done", "done", "failed", "stopped", "stopped"]
    assert all(arm.name == arm.arm for arm in found)


def test_a_finished_arm_of_which_nothing_was_told_has_its_steps(experiment: Path) -> None:
    for path in experiment.glob("logs/progress-*.json"):
        path.unlink()
    steps = [arm.progress and arm.progress.step for arm in read_status(experiment).arms]
    assert steps == [8, 6, None, None, None]


def test_stages_say_how_much_of_them_is_there(experiment: Path) -> None:
    rollouts = Store(experiment / "rollouts", {"stage": "rollouts"})
    rollouts.plan(["a.json", "b.json", "c.json"])
    rollouts.publish("a.json", lambda path: files.publish_json(path, {}))
    found = {stage.stage: stage.words for stage in read_status(experiment).stages}
    assert found == {
        "prompts": "not begun",
        "policy": "not begun",
        "rollouts": "1 of 3 shards",
        "verdicts": "not begun",
        "evaluations": "not begun",
    }


def test_json_holds_the_same_for_programs(experiment: Path) -> None:
    found = json.loads(asymrl("status", str(experiment), "--json").out)
    assert found["counts"] == {"done": 2, "failed": 1, "stopped": 2}
    failed = next(arm for arm in found["arms"] if arm["state"] == "failed")
    assert failed["reason"] == "step 3 is not finite: lower optim.lr"
    assert failed["progress"]["step"] == 3
    assert found["stages"]["rollouts"]["sets"] == 0


def test_text_of_an_error_is_shown_and_not_obeyed(experiment: Path) -> None:
    (failure,) = experiment.glob("train/*/failure.json")
    publish_failure(failure.parent, Failure("\x1b[2J[red]gone", ""))
    shown = asymrl("status", str(experiment)).out
    assert "\x1b" not in shown and "\\x1b[2J[red]gone" in shown


def test_a_directory_without_an_experiment_is_refused(tmp_path: Path) -> None:
    refused(asymrl("status", str(tmp_path)), "holds no experiment", "runs/cups")


def test_nothing_heavy_is_loaded(experiment: Path) -> None:
    program = (
        "import sys\n"
        "from asymrl.main import main\n"
        f"try:\n    main(['status', {str(experiment)!r}])\n"
        "except SystemExit as stop:\n    assert not stop.code\n"
        "print('LOADED', *{name.split('.')[0] for name in sys.modules})\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert set(ran.stdout.splitlines()[-1].split()) & HEAVY == set()

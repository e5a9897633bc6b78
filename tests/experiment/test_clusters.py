"""A sweep whose arms are jobs of a cluster's launcher, and what is left of one that was killed."""

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from asymrl.bridge import conf_directory
from hydra import compose, initialize_config_dir

from asymreinforce.data.store import Store
from tests.fixtures.commands import EMBEDDED, TINY, Outcome, asymrl, tiny

pytest.importorskip("submitit", reason="the extra 'slurm' is not installed")

SUBMITTED = "hydra/launcher=submitit_local"
PATIENCE_S = 300.0


def summary(runs_dir: Path) -> list[dict[str, object]]:
    """The rows of a summary but for the time that an arm took."""
    rows = pq.read_table(runs_dir / "cups/summary.parquet").drop_columns(["seconds"])
    return rows.to_pylist()  # type: ignore[no-any-return]


def test_a_submitted_sweep_killed_and_resubmitted_gives_the_summary_of_one_in_this_process(
    first_sweep: tuple[Path, Outcome], tmp_path: Path
) -> None:
    made_here, _ = first_sweep
    runs_dir = Path(shutil.copytree(made_here, tmp_path / "runs"))
    experiment = runs_dir / "cups"
    for derived in ("evaluations", "summary.parquet", "summary.json"):
        path = experiment / derived
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    (arm,) = [
        store
        for store in map(Store.open, (plan.parent for plan in experiment.glob("train/*/plan.json")))
        if (store.identity["baseline"], store.identity["seed"]) == (0.1, 1)
    ]
    shutil.rmtree(arm.directory)

    settings = [f"runs_dir={runs_dir}", *TINY, *EMBEDDED, "baseline=0.1", "seed=1", SUBMITTED]
    command = [sys.executable, "-m", "asymrl.main", "sweep", *settings]
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        command, cwd=root, start_new_session=True, stderr=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    deadline = time.monotonic() + PATIENCE_S
    while not (arm.directory / "plan.json").exists():
        assert process.poll() is None, "the sweep ended before its arm began"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not arm.is_complete()
    assert list((experiment / "logs/.submitit").iterdir())

    outcome = tiny("sweep", runs_dir, "baseline=0.1", "seed=1", SUBMITTED)
    assert outcome.code == 0, outcome.err
    assert "0 complete already" in outcome.err
    assert arm.is_complete()
    assert summary(runs_dir) == summary(made_here)


def test_a_job_that_ends_without_a_word_is_told_and_the_sweep_sums_up_the_rest(
    swept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*arguments: object, **settings: object) -> None:
        raise RuntimeError("Job 7 (task: 0) has not produced any output (OUT_OF_MEMORY)")

    monkeypatch.setattr("asymrl.bridge.run_hydra", lost)
    outcome = tiny("sweep", swept, "baseline=0.1,0.7", "seed=0", SUBMITTED)
    assert outcome.code == 1
    assert "Traceback" not in outcome.err
    assert "the launcher gave up on a job (RuntimeError: Job 7" in outcome.err
    assert "did not finish; run the same sweep again to go on" in outcome.err
    assert (swept / "cups/summary.parquet").exists()


def test_an_arm_on_slurm_asks_for_a_gpu_a_rank_and_goes_on_after_a_time_out() -> None:
    with initialize_config_dir(str(conf_directory()), version_base="1.3"):
        composed = compose(
            "config",
            ["hydra/launcher=slurm", "train.processes=8", "hydra.launcher.partition=long"],
            return_hydra_config=True,
        )
        launcher = composed.hydra.launcher
        assert launcher.gpus_per_node == 8
        assert launcher.tasks_per_node == 1
        assert launcher.max_num_timeout == 100
        assert launcher.partition == "long"


PAGE = Path(__file__).parents[2] / "docs" / "guides" / "clusters.md"
GIVEN = {"$SLURM_NNODES": "2", "$head": "node0"}
"""What the page's scripts find out where they run."""


def commands_of(page: Path) -> list[list[str]]:
    """Every `asymrl` command in the code of a page, as words."""
    blocks = re.findall(r"^```sh\n(.*?)^```", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    text = "\n".join(blocks).replace("\\\n", " ")
    for name, value in GIVEN.items():
        text = text.replace(name, value)
    return [shlex.split(found) for found in re.findall(r"\basymrl ([^#&\"\n]*)", text)]


def test_the_page_s_commands_compose_with_the_settings_that_they_name() -> None:
    commands = commands_of(PAGE)
    assert len(commands) == 17
    for command, *settings in commands:
        one = [s if s.startswith("hydra") else s.split(",")[0] for s in settings]  # of a sweep's
        outcome = asymrl(command, *one, "--cfg", "job")
        assert outcome.code == 0, (command, settings, outcome.err)
        for setting in one:
            key, _, value = setting.partition("=")
            name = key.rpartition(".")[2]
            if not key.startswith(("hydra", "experiment")):
                assert re.search(rf"^ *{name}: '?{re.escape(value)}'?$", outcome.out, re.MULTILINE)

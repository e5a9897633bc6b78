"""`asymrl search`: trials are arms, a killed search goes on, and the report says what was tried."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from asymreinforce.data.search_records import (
    Interval,
    SearchRecord,
    Trial,
    publish_record,
    read_records,
)
from asymreinforce.data.store import Store
from asymreinforce.errors import InputError
from asymreinforce.experiment.search import validation_accuracy
from asymreinforce.report.searches import read_searches, search_sentences
from tests.fixtures.commands import EMBEDDED, TINY, Outcome, asymrl, refused, tiny
from tests.fixtures.experiments import small_config
from tests.fixtures.made_up_experiment import make_experiment, sweep
from tests.fixtures.stored_files import read_payload, read_stamps

SEARCH = ("optim.lr=interval(1e-5,1e-2)", "search.trials=3", "search.spread=3")
FOLDERS = ("train", "search")


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rollouts and verdicts, and no arm."""
    runs = tmp_path_factory.mktemp("scored") / "runs"
    for command in ("init", "generate", "score"):
        assert tiny(command, runs).code == 0
    return runs


@pytest.fixture
def runs(scored: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(scored, tmp_path / "runs"))


def search(runs: Path, *words: str) -> Outcome:
    return tiny("search", runs, *words)


def tried(runs: Path) -> dict[str, list[float]]:
    """Learning rates by objective, in the order of trials."""
    return {
        str(r.settings["algorithm.name"]): [trial.values["optim.lr"] for trial in r.trials]
        for r in read_records(runs / "cups")
    }


def begun(runs: Path) -> int:
    """Count arms of which a checkpoint is there."""
    return len({path.parents[1] for path in runs.glob("cups/train/*/checkpoints/*.receipt")})


@pytest.mark.slow
def test_a_search_that_was_killed_goes_on_to_the_same_end(runs: Path, tmp_path: Path) -> None:
    cut = Path(shutil.copytree(runs, tmp_path / "cut"))
    whole = search(runs, *SEARCH)
    assert whole.code == 0, whole.err
    expected = [0.000316, 5.62e-5, 0.00178]
    assert tried(runs) == {"asymre": expected}

    command = ["search", f"runs_dir={cut}", *TINY, *EMBEDDED, *SEARCH]
    process = subprocess.Popen(
        [sys.executable, "-m", "asymrl.main", *command],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while begun(cut) < 2 and process.poll() is None:  # in the second trial
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert tried(cut) == {"asymre": expected[:1]}
    first = [name for r in read_records(cut / "cups") for name in r.trials[0].arms]
    stamps = [read_stamps(cut / "cups/train" / name) for name in first]

    again = search(cut, *SEARCH)
    assert again.code == 0, again.err
    assert "search: trial 1 of 3: 1 arms, 1 complete already" in again.err
    assert [read_stamps(cut / "cups/train" / name) for name in first] == stamps
    for folder in FOLDERS:
        found, known = (
            {n: b for n, b in read_payload(r / "cups" / folder).items() if "config" not in n}
            for r in (cut, runs)
        )
        assert found == known
    assert again.out == whole.out


@pytest.mark.slow
def test_a_larger_budget_goes_on_and_a_trial_is_the_arm_of_a_sweep(runs: Path) -> None:
    words = ("optim.lr=interval(1e-5,1e-2)", "seed=0,1", "search.spread=9")
    assert search(runs, *words, "search.trials=1").code == 0
    stamps = read_stamps(runs / "cups/train")
    outcome = search(runs, *words, "search.trials=2")
    assert outcome.code == 0, outcome.err
    assert "trial 1 of 2: 2 arms, 2 complete already" in outcome.err
    assert stamps.items() <= read_stamps(runs / "cups/train").items()
    (record,) = read_records(runs / "cups")
    assert (record.budget, len(record.trials), record.seeds) == (2, 2, (0, 1))
    for trial in record.trials:
        stores = [Store.open(runs / "cups/train" / name) for name in trial.arms]
        best = [float(store.facts["best_accuracy"]) for store in stores]
        assert trial.accuracy == sum(best) / 2
    trained = tiny("train", runs, "optim.lr=0.000316", "seed=1")
    assert "complete, nothing to do" in trained.err
    # fewer trials than were taken leave the others on record
    assert search(runs, *words, "search.trials=1").code == 0
    assert [len(r.trials) for r in read_records(runs / "cups")] == [2]


@pytest.mark.slow
def test_an_arm_that_fails_is_told_and_counts_as_worse(runs: Path) -> None:
    words = ("algorithm=grpo,asymre", "optim.lr=interval(1e10,1e30)")
    outcome = search(runs, *words, "search.trials=1")
    assert outcome.code == 1
    assert outcome.err.count("is not finite") >= 2
    assert "failed" in outcome.out
    assert tried(runs) == {"grpo": [1e20], "asymre": [1e20]}
    for record in read_records(runs / "cups"):
        assert record.best is None
        assert "is not finite" in record.trials[0].error


def test_the_last_accuracy_is_that_of_the_last_validation(
    tmp_path: Path, random_policy: Path
) -> None:
    from tests.fixtures import tiny_arm as training

    rollouts = training.scored(tmp_path / "inputs")
    config = small_config(tmp_path / "runs", policy=random_policy)
    store = training.run_arm(config, random_policy, rollouts, training.falling)
    assert validation_accuracy(store, "best") == 1 / 3
    assert validation_accuracy(store, "last") == 1 / 7


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "nothing is searched"),
        (("optim.lr=interval(1e-3,1e-5)",), "the first end is below the second one"),
        (("optim.lr=interval(-1,1)",), "optim.lr"),
        (("optim.rl=interval(1e-5,1e-3)",), "did you mean optim.lr"),
        (("algorithm.name=interval(1,2)",), "is no number"),
        (("optim.lr=interval(1e-5)",), "interval"),
        (("seed=interval(0,9)",), "seed cannot be searched"),
        (("sampling.temperature=interval(0.5,1)",), "cannot be searched"),
        (("algorithm.clip_low=interval(0.1,0.3)",), "has no effect on some of the methods"),
        (
            ("optim.lr=interval(1e-5,1e-3)", "train.validation_prompts=0"),
            "a search chooses by validation questions",
        ),
        (("optim.lr=interval(1e-5,1e-3)", "hydra/launcher=basic"), "trains on this machine"),
        (("optim.lr=interval(1e-5,1e-3)", "refresh_every=2"), "share one set"),
    ],
)
def test_what_cannot_be_searched_is_refused(
    words: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    refused(search(tmp_path, *words), message)
    assert not list(tmp_path.rglob("plan.json"))


@pytest.mark.parametrize(
    ("command", "word"),
    [("sweep", "optim.lr=interval(1e-5,1e-3)"), ("train", "optim.lr=interval(1e-5,1e-3)"),
     ("sweep", "hydra/sweeper=optuna")],
)  # fmt: skip
def test_other_commands_point_to_the_search(command: str, word: str, tmp_path: Path) -> None:
    refused(asymrl(command, f"runs_dir={tmp_path}", word), word, "'asymrl search' takes intervals")


def record(name: str, *accuracies: float | None) -> SearchRecord:
    return SearchRecord(
        arms=(name,),
        settings={"algorithm.name": name, "baseline": -0.1},
        intervals=(Interval("optim.lr", 1e-5, 1e-3, is_log=True, is_whole=False),),
        seeds=(0, 1),
        value="best",
        questions=50,
        spread=2,
        seed=0,
        budget=4,
        trials=tuple(
            Trial({"optim.lr": 10.0 ** -(3 + n)}, accuracy) for n, accuracy in enumerate(accuracies)
        ),
    )


def test_the_best_trial_is_the_first_of_the_highest_accuracy() -> None:
    assert (
        record("asymre", 0.2, None, 0.6, 0.6).trials.index(
            record("asymre", 0.2, None, 0.6, 0.6).best or Trial({})
        )
        == 2
    )
    assert record("asymre", None).best is None
    assert record("asymre", 0.0).best == Trial({"optim.lr": 1e-3}, 0.0)


def test_the_report_says_what_was_searched(tmp_path: Path) -> None:
    directory = make_experiment(tmp_path / "made", sweep((-0.1, 0.1), (0, 1)))
    publish_record(directory, record("asymre", 0.25, 0.5))
    publish_record(directory, record("grpo", 0.125, None, 0.0))
    assert [method.name for method in read_searches(directory)] == ["asymre", "grpo"]
    sentence = (
        "Searched for each method: optim.lr in [1e-05, 0.001] (logarithmic); budget 4 trials "
        "(2 evenly spread, then 2 by TPE) of 2 seeds. Values are chosen by accuracy on 50 "
        "validation questions; an arm counts by its best checkpoint."
    )
    assert search_sentences(read_searches(directory))[0] == sentence
    printed = asymrl("report", str(directory))
    assert "searched on validation questions" in printed.out
    page = (directory / "report.html").read_text()
    assert sentence in page
    assert "1e-05: 0.0, 0.0001: failed, 0.001: 12.5" in page
    assert "2 of 4" in page


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    publish_record(tmp_path, record("asymre", 0.25))
    assert read_records(tmp_path) == [record("asymre", 0.25)]
    (path,) = (tmp_path / "search").iterdir()
    path.write_text(json.dumps({**json.loads(path.read_text()), "budget": 9}))
    with pytest.raises(InputError, match=path.name):
        read_records(tmp_path)

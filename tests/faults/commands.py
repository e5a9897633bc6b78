"""The commands that write, each from the state in which it has something to do.

Everything is as small as can be: 4 prompts of 2 samples, 2 steps, a random policy of a few thousand
parameters that really samples, real graders.
"""

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from asymreinforce.data import files, lease
from asymreinforce.data.store import Store
from tests import made
from tests.faults.spying import ROOT, run_asymrl
from tests.imported import files as foreign

SMALL = (
    *("engine=transformers", "policy.context=64", "policy.dtype=float32", "reward.workers=1"),
    *("task.train=4", "task.validation=2", "task.held_out=2", "optim.trajectories_per_step=4"),
    *("sampling.samples_per_prompt=2", "sampling.samples_per_block=2", "sampling.max_tokens=6"),
    *("sampling.prompts_per_shard=2", "evaluation.sampling.samples_per_prompt=1"),
    *("evaluation.train_prompts=0", "evaluation.sampling.max_tokens=6", "optim.steps=2"),
    *("train.checkpoint_every=1", "train.diagnostics_every=1", "train.slice_prompts=2"),
    *("train.validation_prompts=0", "train.audit_rollouts=8", "sweep.workers=1"),
)
EMBEDDED = (
    *("policy.embedded.warm_up.questions=40", "policy.embedded.warm_up.steps=1"),
    "policy.embedded.warm_up.lr_warmup_steps=1",
)
Do = Callable[[Path], int]
"""Runs in a directory that holds `policy/` and `runs/`; returns the exit code."""


def command(name: str, *settings: str) -> Do:
    """A command on the small experiment."""

    def do(work: Path) -> int:
        given = (f"runs_dir={work / 'runs'}", *SMALL)
        source = ("model=checkpoint", f"policy.source={work / 'policy'}", "task=cups", "name=cups")
        return run_asymrl(
            name, *given, *(() if "embedded" in settings else source), *_own(settings)
        )

    return do


def _own(settings: tuple[str, ...]) -> list[str]:
    return [setting for setting in settings if setting != "embedded"]


def imported(name: str, *settings: str) -> Do:
    """A command on a foreign file of six prompts and two policies, rewards included."""

    def do(work: Path) -> int:
        rows = [row | {"reward": 1} for row in foreign.rows(prompts=3, policies=("mu", "nu"))]
        path = foreign.jsonl(work / "foreign.jsonl", rows)
        source = (f"source.path={path}", "source.prompts_per_shard=2", "evaluation.prompts=0")
        return command(name, *source, *settings)(work)

    return do


def report(*names: str) -> Do:
    return lambda work: run_asymrl("report", *(str(work / "runs" / name) for name in names))


def report_of_two(work: Path) -> int:
    """The experiment beside a copy of itself."""
    copy = work / "runs" / "copy"
    if not copy.exists():
        shutil.copytree(work / "runs" / "cups", copy)
    return report("cups", "copy")(work)


def paper_figures(work: Path) -> int:
    """The figures of a sweep of one arm, and the docs pages that show them."""
    from scripts.paper.draw import main

    for name in ("paper-figures.md", "phase-diagrams.md"):
        if not (work / "docs" / name).exists():
            (work / "docs").mkdir(exist_ok=True)
            shutil.copyfile(ROOT / "docs" / name, work / "docs" / name)
    return main(["--runs", str(work / "runs"), "--docs", str(work / "docs"), "--no-ways"])


def bandit(work: Path) -> int:
    small = ("arms=4", "steps=5", "baseline=-0.1,0", "seed=0")
    return run_asymrl("bandit", f"runs_dir={work / 'runs'}", *small)


def interrupted(work: Path) -> int:
    """Training that gets SIGTERM in its first step: it ends with a checkpoint of that."""
    from asymreinforce.stages.train import loop

    take = loop.take_step

    def take_step(*given: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        take(*given)

    loop.take_step = take_step  # type: ignore[assignment]
    code = command("train", "train.checkpoint_every=2")(work)
    return 0 if code == 128 + signal.SIGTERM else code


def over_a_dead_lease(work: Path) -> int:
    """Generate where a process died that held the lease."""
    (directory,) = (work / "runs" / "cups" / "rollouts").glob("*/")
    dead = lease._this_process()._replace(pid=999_999_999)
    path = lease.path_of(directory)
    if not path.exists():
        path.write_text(json.dumps(dead._asdict()))
    store = Store.open(directory)
    files.remove_path(directory / "manifest.json")
    files.remove_path(directory / f"{store.planned[0]}.receipt")
    return command("generate")(work)


def without_a_readable_config(work: Path) -> int:
    for path in (work / "runs" / "cups" / "train").glob("*/config.json"):
        path.write_text("{")
    return command("train")(work)


def tracked(work: Path) -> int:
    """What is remembered of evaluations that a tracker was given; the tracker itself is away."""
    from asymreinforce.tracking.results import Logged, evaluated_arms

    experiment = work / "runs" / "cups"
    config = made.config(work / "runs", policy=work / "policy", name="cups", tracker__name="wandb")
    logged = Logged(config)
    arms = list(evaluated_arms(experiment))
    for arm in arms:
        logged.add(arm)
    return 0 if arms and all(map(Logged(config).holds, arms)) else 1


def ways(work: Path) -> int:
    from scripts.paper.outcome import measure_ways

    return 0 if len(measure_ways(work / "runs" / "cups")) else 1


def ranks(work: Path) -> int:
    """Training by ranks, whose processes are not started: what is written before they are."""
    from asymreinforce.experiment import launch

    launch.torchrun_command = lambda config, *, name: ["true"]
    config = made.config(work / "runs", policy=work / "policy")
    store = Store(config.directory / "train", {"an": "arm"})
    launch.launch_ranks(config, store)
    return 0


def failing(work: Path) -> int:
    """A sweep of which an arm fails: that is written down."""
    from asymreinforce.experiment import arm

    def fail(*arguments: object, **settings: object) -> None:
        raise RuntimeError("planted")

    arm._train_with_ranks = fail
    code = command("sweep", "hydra/launcher=basic", "baseline=-0.1", "seed=0")(work)
    for log in (work / "runs" / "cups" / "logs").glob("*"):
        log.unlink()
    return 0 if code == 1 else code


class Scenario(NamedTuple):
    """A command, the state it starts from (the end of another scenario), and what is run again."""

    after: str | None
    do: Do
    again: Do | None = None


SUITE = "evaluation.suites.more.task={preset: cups, seed: 9, train: 0, validation: 0, held_out: 2}"
SCENARIOS = {
    "init": Scenario(None, command("init", "embedded", *EMBEDDED)),
    "bandit": Scenario(None, bandit),
    "import": Scenario(None, imported("import")),
    "prepared": Scenario(None, command("init")),
    "generate": Scenario("prepared", command("generate")),
    "over a dead lease": Scenario("generate", over_a_dead_lease),
    "score": Scenario("generate", command("score")),
    "train": Scenario("score", command("train")),
    "train, interrupted": Scenario(
        "score", interrupted, command("train", "train.checkpoint_every=2")
    ),
    "train on what has no log-probabilities": Scenario("import", imported("train")),
    "train, by ranks": Scenario(None, ranks),
    "train, of an earlier version": Scenario("train", without_a_readable_config),
    "an arm that fails": Scenario("score", failing),
    "evaluate": Scenario("train", command("evaluate")),
    "evaluate, with suites": Scenario("evaluate", command("evaluate", SUITE)),
    "sweep, together": Scenario(
        "score", command("sweep", "sweep.together=2", "baseline=-0.1,0", "seed=0")
    ),
    "run": Scenario("score", command("run", "refresh_every=1", "baseline=-0.1", "seed=0")),
    "report": Scenario("evaluate", report("cups")),
    "report of two": Scenario("report", report_of_two),
    "tracked": Scenario("evaluate", tracked),
    "ways": Scenario("evaluate", ways),
    "figures of the paper": Scenario("evaluate", paper_figures),
}


def lay_out(work: Path, state: Path | None, policy: Path) -> None:
    """Put a state where every run of a scenario finds it, at the same paths."""
    shutil.rmtree(work, ignore_errors=True)
    if state:
        shutil.copytree(state, work)
        return
    work.mkdir(parents=True)
    shutil.copytree(policy, work / "policy")

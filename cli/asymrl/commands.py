"""The commands that Hydra configures: stages, sweeps, plans and the theory bench.

Heavy modules are imported when a command runs, so that `asymrl --help` answers at once.
"""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from asymrl.completion import complete

if TYPE_CHECKING:
    from asymreinforce.config import ExperimentConfig
    from asymreinforce.experiment.sweep import SweepResult
    from asymrl.overrides import Prepared

PAPER_SWEEP = {"baseline": "-0.5,-0.3,-0.2,-0.1,0,0.1,0.2,0.3", "replicate": "0,1,2"}
Settings = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...",
        help=(
            "Settings and groups in Hydra's syntax, or an experiment's FILE.yaml; "
            "'--cfg job' prints all settings with their values."
        ),
        show_default=False,
        autocompletion=complete,
    ),
]


def init(settings: Settings = None) -> None:
    """Write the prompts of a task, and make (or fetch) the behaviour policy.

    asymrl init                                      the embedded task and policy, about a minute

    asymrl init policy.seed=1                        another behaviour policy

    asymrl init task=gsm8k policy.source=DIR         a task, and a Hugging Face checkpoint
    """
    _run_job("init", settings)


def import_(settings: Settings = None) -> None:
    """Import rollouts from other programs; score, train and sweep then take the same settings.

    asymrl import source.path=rollouts.jsonl policy.source=MODEL task.grader=gsm8k

    asymrl import source.path=completions/ policy.source=MODEL source.format=trl   or verl, lm_eval

    asymrl import source.path=a.parquet policy.source=MODEL source.columns.completion=answer_text

    MODEL is the policy to train, a directory or hub id; its tokenizer reads the texts.
    A file may hold rollouts of several policies. Log-probabilities, rewards and token ids are
    optional.
    """
    _run_job("import", settings)


def generate(settings: Settings = None) -> None:
    """Sample rollouts of the frozen behaviour policy, with log-probabilities.

    asymrl generate                                  8 samples of 4,800 prompts, by vLLM

    asymrl generate sampling.samples_per_prompt=16   8 more of each prompt; the first 8 are kept

    asymrl generate engine=transformers              if vLLM cannot be installed
    """
    _run_job("generate", settings)


def score(settings: Settings = None) -> None:
    """Judge each rollout, in grader processes that can be killed.

    asymrl score

    asymrl score task.grader=math reward.cpu_limit_s=10

    asymrl score reward.graders=[math,my_module:format]    verdicts of two graders, rewards summed
    """
    _run_job("score", settings)


def train(settings: Settings = None) -> None:
    """Train one arm: V(x) = reference(x) + baseline, A = r - V.

    asymrl train baseline=-0.1                       just below the mean reward: stable

    asymrl train baseline=0.1                        above it: collapses

    asymrl train algorithm=positives_only            another algorithm, to compare with

    asymrl train train.processes=8                   on 8 GPUs of this node, by torchrun

    asymrl train name=arithmetic baseline=-0.05      an experiment remembers its other settings

    asymrl train --cfg job                           print the configuration, train nothing
    """
    _run_job("train", settings)


def evaluate(settings: Settings = None) -> None:
    """Evaluate every checkpoint of every arm on held-out prompts, and print a summary.

    asymrl evaluate

    asymrl evaluate evaluation.sampling.temperature=0.1 evaluation.sampling.top_p=0.95

    asymrl evaluate 'evaluation.suites=[math500,aime24]'   also on further benchmarks
    """
    _run_job("evaluate", settings)


def sweep(settings: Settings = None) -> None:
    """Train and evaluate many arms on the same rollouts; run missing earlier stages first.

    asymrl sweep                                     the paper's eight baselines, three replicates

    asymrl sweep baseline=-0.2,0 replicate=0,1       any keys, comma-separated; replicates differ
                                                     in policy, rollouts and data order

    asymrl sweep 'algorithm=asymre,positives_only'   two algorithms

    asymrl sweep sweep.together=8 sweep.workers=1    eight arms side by side in one process

    asymrl sweep hydra/launcher=slurm                arms as Slurm jobs; see docs/guides/clusters.md

    asymrl sweep arithmetic.yaml                     an experiment's file, from 'asymrl new'

    asymrl sweep name=arithmetic --change ...        change settings of an existing experiment

    Complete arms are skipped. An arm that fails does not stop the others.
    """
    from asymrl.launching import launcher_of, sweep_arms
    from asymrl.remembered import kept

    if not (given := prepare_or_print("sweep", settings)):
        return
    overrides = with_default_sweep(given.overrides)
    launcher = launcher_of(overrides)
    arms = _compose_arms(overrides)
    with kept(arms, given.asked):
        result = sweep_arms(arms, launcher=launcher, overrides=overrides)
    _print_sweep_result(result, arms[0])


def run_rounds(settings: Settings = None) -> None:
    """Train in rounds: generate from mu, score, train N steps, mu <- pi, and repeat.

    asymrl run rounds=4 refresh_every=25 baseline=-0.1   100 steps, mu refreshed every 25

    asymrl run refresh_every=25,100,null seed=0,1,2      sweep N; null never refreshes

    asymrl run rounds=60 refresh_every=1                 on-policy

    asymrl run refresh_every=25 replay.capacity=2        half of a step replays earlier rounds

    Like a sweep, this runs missing stages first, evaluates, and writes the report. All arms share
    round 0. The same command resumes a run that was killed.
    """
    from asymrl.remembered import kept

    if not (given := prepare_or_print("run", settings)):
        return
    arms = _compose_arms(given.overrides)
    with kept(arms, given.asked):
        from asymreinforce.experiment.rounds import run_in_rounds
        from asymrl.launching import trained_here

        arms = trained_here(arms)
        result = run_in_rounds(arms)
    _print_sweep_result(result, arms[0])


def plan(settings: Settings = None) -> None:
    """Print what a sweep would need and run nothing: prompts, tokens, memory, disk, GPU-hours.

    asymrl plan experiment=paper_qwen3b_math         needs no network and no GPU

    asymrl plan experiment=h200_qwen3b baseline=-0.1,0 plan.completion_tokens=600
    """
    from asymrl.plan import print_plan

    if not (given := prepare_or_print("plan", settings)):
        return
    from asymreinforce.model.devices import planned_gpu, resolve_auto

    arms = _compose_arms(with_default_sweep(given.overrides))
    print_plan([resolve_auto(arm, planned_gpu) for arm in arms])


def bandit(settings: Settings = None) -> None:
    """Run the theory bench: the paper's tabular bandit, its limit and its phase transition.

    asymrl bandit                                    Section 5.1: Figs. 1 and 7

    asymrl bandit experiment=policy_improvement      40 iterations of 500 steps: Fig. 2

    asymrl bandit experiment=phase_diagram           also stale_mu, sampled_groups, rival_updates

    asymrl bandit baseline=-0.3,-0.1,0 baseline_reference=behaviour_mean seed=0,1,2 arms=50
    """
    from asymrl.overrides import of_the_bench

    words = of_the_bench(settings or [])  # a wrong word is reported before Hydra is imported
    from asymrl.bandit import bandit_job, hydra_overrides
    from asymrl.bridge import run_hydra

    run_hydra(bandit_job, hydra_overrides(words), config_name="bandit")


def with_default_sweep(settings: list[str]) -> list[str]:
    """Add the paper's sweep if the settings name no baseline, no seed and no several values."""
    from asymrl.words import key_of, several

    if {*map(key_of, settings)} & {*PAPER_SWEEP, "seed"} or any(
        len(several(w)) > 1 for w in settings
    ):
        return settings
    return [*settings, *(f"{key}={value}" for key, value in PAPER_SWEEP.items())]


def _print_sweep_result(result: "SweepResult", config: "ExperimentConfig") -> None:
    """Print the summary and write the report; exit with 1 if an arm failed.

    Arms without an evaluation are shown by their training metrics.
    """
    from asymreinforce.progress import say
    from asymrl.report_command import print_trained, report_sweep
    from asymrl.tables import print_suites_of, print_summary

    if result.summary is not None:
        print_summary(result.summary)
        if config.evaluation.suites:
            print_suites_of(config.directory)
    elif result.trained:
        print_trained(config.directory)
    if config.sweep.report and result.is_reportable:
        report_sweep(config)
    for arm in result.failed:
        where = f" (log: {arm.log})" if arm.log else ""
        say(f"failed: arm {arm.arm}: {arm.error}{where}")
    if result.failed:
        raise typer.Exit(1)


def _compose_arms(overrides: list[str]) -> "list[ExperimentConfig]":
    """Compose every arm of a sweep without starting any; `auto` is not yet resolved."""
    from asymrl.compose import compose_arms

    return compose_arms(
        [o for o in overrides if not o.startswith(("hydra/launcher", "hydra.launcher"))]
    )


def _run_job(command: str, settings: list[str] | None) -> None:
    """Run a command's job on the configuration of its settings."""
    from asymrl.overrides import prepared

    given = prepared(command, settings or [])  # a wrong word is reported before Hydra is imported
    from asymreinforce.model.devices import resolve_auto, this_machine
    from asymrl import jobs
    from asymrl.bridge import run_hydra
    from asymrl.remembered import kept

    job = getattr(jobs, f"{command}_job")

    def remembering(cfg: Any) -> None:
        config = jobs.parsed(cfg)
        with kept([config], given.asked):
            job(resolve_auto(config, this_machine))

    run_hydra(remembering, given.overrides)


def prepare_or_print(command: str, settings: list[str] | None) -> "Prepared | None":
    """Return the prepared overrides of a command; None if its options only made Hydra print."""
    from asymrl.overrides import prepared
    from asymrl.words import only_prints

    given = prepared(command, settings or [])
    if not only_prints(given.overrides):
        return given
    from asymrl import jobs
    from asymrl.bridge import run_hydra

    run_hydra(jobs.collect_job, given.overrides)
    return None

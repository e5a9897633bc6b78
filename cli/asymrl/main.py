"""`asymrl`: typer owns the subcommands, Hydra everything behind KEY=VALUE.

Nothing heavy is imported here, so that `asymrl --help` answers at once.
"""

import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asymrl.completion import complete
from asymrl.inspect_command import inspect
from asymrl.new import new
from asymrl.push_command import push
from asymrl.report_command import report
from asymrl.samples_command import samples
from asymrl.settings_command import settings as settings_command
from asymrl.status_command import status

if TYPE_CHECKING:
    from asymreinforce.config import ExperimentConfig
    from asymreinforce.experiment.sweep import SweepResult

app = typer.Typer(
    name="asymrl",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help=(
        "Off-policy REINFORCE on language models: one frozen policy, one set of rollouts, a swept "
        "baseline (Arnal et al. 2025, arXiv 2506.20520).\n\n"
        "Stages meet in parquet files below runs/<name>/; each can be killed and run again. "
        "Every command works with no argument, in this order, on an embedded tiny policy:\n\n"
        "  asymrl init && asymrl generate && asymrl score && asymrl train && asymrl evaluate\n\n"
        "  asymrl sweep baseline=-0.3,-0.1,0,0.1 seed=0,1,2     does all of it, for many arms"
    ),
)

PAPER_SWEEP = {"baseline": "-0.5,-0.3,-0.2,-0.1,0,0.1,0.2,0.3", "seed": "0,1,2"}
HYDRA = {"ignore_unknown_options": True, "allow_extra_args": True}
Settings = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...",
        help=(
            "Settings and groups, as Hydra takes them, and an experiment's FILE.yaml; "
            "'--cfg job' prints all, with values."
        ),
        show_default=False,
        autocompletion=complete,
    ),
]


def _print_version(is_asked: bool) -> None:
    if is_asked:
        from asymreinforce import __version__, terminal

        terminal.print_line(f"asymrl {__version__}", to_stderr=False)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version."
        ),
    ] = False,
) -> None:
    """Take the options that stand before a command."""


app.command()(new)


@app.command(context_settings=HYDRA)
def init(settings: Settings = None) -> None:
    """Lay out a task's prompts and make (or fetch) the behaviour policy.

    asymrl init                                      the embedded task and policy, about a minute

    asymrl init policy.seed=1                        another behaviour policy

    asymrl init task=gsm8k policy.source=DIR         a task, and a Hugging Face checkpoint
    """
    _run_job("init", settings)


@app.command("import", context_settings=HYDRA)
def import_(settings: Settings = None) -> None:
    """Bring in rollouts from elsewhere; score, train and sweep go on with the same settings.

    asymrl import source.path=rollouts.jsonl policy.source=MODEL task.grader=gsm8k

    asymrl import source.path=completions/ policy.source=MODEL source.format=trl   or verl, lm_eval

    asymrl import source.path=a.parquet policy.source=MODEL source.columns.completion=answer_text

    MODEL is the policy to train, a directory or hub id, whose tokenizer reads the texts.
    Several policies in one file, with or without log-probabilities, rewards or token ids.
    """
    _run_job("import", settings)


@app.command(context_settings=HYDRA)
def generate(settings: Settings = None) -> None:
    """Sample rollouts of the frozen behaviour policy, with log-probabilities.

    asymrl generate                                  8 samples of 4,800 prompts, by vLLM

    asymrl generate sampling.samples_per_prompt=16   8 more of each; the others stay as they are

    asymrl generate engine=transformers              where vLLM cannot be installed
    """
    _run_job("generate", settings)


@app.command(context_settings=HYDRA)
def score(settings: Settings = None) -> None:
    """Judge the rollouts: a verdict each, in grader processes that can be killed.

    asymrl score

    asymrl score task.grader=math reward.cpu_limit_s=10
    """
    _run_job("score", settings)


@app.command(context_settings=HYDRA)
def train(settings: Settings = None) -> None:
    """Train one arm: V(x) = reference(x) + baseline, A = r - V.

    asymrl train baseline=-0.1                       just below the mean reward: stable

    asymrl train baseline=0.1                        above it: collapses

    asymrl train algorithm=positives_only            what a baseline is compared with

    asymrl train train.processes=8                   on 8 GPUs of this node, by torchrun

    asymrl train name=arithmetic baseline=-0.05      what it was made with is remembered

    asymrl train --cfg job                           print the configuration, train nothing
    """
    _run_job("train", settings)


@app.command(context_settings=HYDRA)
def evaluate(settings: Settings = None) -> None:
    """Evaluate every checkpoint of every arm on held-out prompts, and sum up.

    asymrl evaluate

    asymrl evaluate evaluation.sampling.temperature=0.1 evaluation.sampling.top_p=0.95
    """
    _run_job("evaluate", settings)


@app.command(context_settings=HYDRA)
def sweep(settings: Settings = None) -> None:
    """Train and evaluate many arms on the same rollouts; do first whatever is missing.

    asymrl sweep                                     the paper's eight baselines, three seeds

    asymrl sweep baseline=-0.2,0 seed=0,1            any keys, comma-separated

    asymrl sweep 'algorithm=asymre,positives_only'   groups as well

    asymrl sweep sweep.together=8 sweep.workers=1    eight arms side by side in one process

    asymrl sweep hydra/launcher=slurm                arms as Slurm jobs; see docs/clusters.md

    asymrl sweep arithmetic.yaml                     an experiment's file, of 'asymrl new'

    asymrl sweep name=arithmetic --change ...        other settings than it was made with

    Arms that are complete are skipped; one that fails does not stop the others.
    """
    from asymrl.launching import launcher_of, sweep_arms
    from asymrl.overrides import prepared
    from asymrl.remembered import kept
    from asymrl.words import only_prints

    given = prepared("sweep", settings or [])
    if only_prints(given.overrides):
        _print(given.overrides)
        return
    overrides = with_default_sweep(given.overrides)
    launcher = launcher_of(overrides)
    arms = _compose_arms(overrides)
    with kept(arms, given.asked):
        result = sweep_arms(arms, launcher=launcher, overrides=overrides)
    _print_sweep_result(result, arms[0])


@app.command("run", context_settings=HYDRA)
def run_rounds(settings: Settings = None) -> None:
    """Train in rounds: generate from mu, score, train N steps, mu <- pi, and again.

    asymrl run rounds=4 refresh_every=25 baseline=-0.1   100 steps, mu refreshed each 25

    asymrl run refresh_every=25,100,null seed=0,1,2      N swept; null never refreshes

    asymrl run rounds=60 refresh_every=1                 on-policy

    Does first whatever is missing, evaluates, and sums up, as a sweep does; round 0 is shared by
    all arms. One that was killed goes on where it stands.
    """
    from asymrl.overrides import prepared
    from asymrl.remembered import kept
    from asymrl.words import only_prints

    given = prepared("run", settings or [])
    if only_prints(given.overrides):
        _print(given.overrides)
        return
    arms = _compose_arms(given.overrides)
    with kept(arms, given.asked):
        from asymreinforce.experiment.rounds import run_in_rounds
        from asymrl.devices import trained_here

        arms = trained_here(arms)
        result = run_in_rounds(arms)
    _print_sweep_result(result, arms[0])


@app.command(context_settings=HYDRA)
def plan(settings: Settings = None) -> None:
    """Print what a sweep would take, and do nothing: prompts, tokens, memory, disk, GPU-hours.

    asymrl plan experiment=paper_qwen3b_math         needs no network and no GPU

    asymrl plan experiment=h200_qwen3b baseline=-0.1,0 plan.completion_tokens=600
    """
    from asymrl.devices import resolved_for_plan
    from asymrl.overrides import prepared
    from asymrl.plan import print_plan
    from asymrl.words import only_prints

    given = prepared("plan", settings or [])
    if only_prints(given.overrides):
        _print(given.overrides)
        return
    print_plan(resolved_for_plan(_compose_arms(with_default_sweep(given.overrides))))


@app.command(context_settings=HYDRA)
def bandit(settings: Settings = None) -> None:
    """Run the theory bench: the paper's tabular bandit, its limit and its phase transition.

    asymrl bandit                                    Section 5.1: Figs. 1 and 7

    asymrl bandit experiment=policy_improvement      40 iterations of 500 steps: Fig. 2

    asymrl bandit experiment=phase_diagram           also stale_mu, sampled_groups, rival_updates

    asymrl bandit baseline=-0.3,-0.1,0 baseline_reference=behaviour_mean seed=0,1,2 arms=50
    """
    from asymrl.overrides import of_the_bench

    words = of_the_bench(settings or [])  # before Hydra is imported
    from asymrl.bandit import bandit_job, hydra_overrides
    from asymrl.bridge import run_hydra

    run_hydra(bandit_job, hydra_overrides(words), config_name="bandit")


app.command()(status)
app.command()(inspect)


app.command()(report)
app.command()(samples)
app.command()(push)
app.command("settings")(settings_command)


@app.command()
def env() -> None:
    """Print versions, devices, cores, memory and disk, for bug reports.

    asymrl env
    """
    from asymreinforce import terminal
    from asymrl.environment import describe_machine

    terminal.print_line(describe_machine(), to_stderr=False)


def with_default_sweep(settings: list[str]) -> list[str]:
    """Add the paper's sweep where the settings name neither a baseline nor a seed nor a sweep."""
    from asymrl.words import key_of, several

    if {*map(key_of, settings)} & set(PAPER_SWEEP) or any(len(several(w)) > 1 for w in settings):
        return settings
    return [*settings, *(f"{key}={value}" for key, value in PAPER_SWEEP.items())]


def _print_sweep_result(result: "SweepResult", config: "ExperimentConfig") -> None:
    """Print the summary and write the report; exit with 1 where an arm failed.

    Arms that nothing evaluates are shown by what their training knows.
    """
    from asymreinforce.progress import say
    from asymrl.reporting import print_trained, report_sweep
    from asymrl.tables import print_summary

    if result.summary is not None:
        print_summary(result.summary)
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
    """Compose every arm of a sweep, and start none; `auto` stays what it is."""
    from asymrl.compose import compose_arms

    return compose_arms(
        [o for o in overrides if not o.startswith(("hydra/launcher", "hydra.launcher"))]
    )


def _run_job(command: str, settings: list[str] | None) -> None:
    """Run a command's job on the one configuration that its settings compose."""
    from asymrl.overrides import prepared

    given = prepared(command, settings or [])  # before Hydra is imported
    from asymrl import jobs
    from asymrl.bridge import run_hydra
    from asymrl.remembered import kept

    job = getattr(jobs, f"{command}_job")

    def remembering(cfg: Any) -> None:
        with kept([jobs.parsed(cfg)], given.asked):
            job(cfg)

    run_hydra(remembering, given.overrides)


def _print(overrides: list[str]) -> None:
    """Let Hydra print what options ask for."""
    from asymrl import jobs
    from asymrl.bridge import run_hydra

    run_hydra(jobs.collect_job, overrides)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; whatever goes wrong is one message, and exit code 1.

    An error that a user can mend says how; any other names the log that has its traceback.
    """
    from asymreinforce import failures, terminal
    from asymreinforce.interruption import exit_code, handle_signals

    # Read once, when torch is imported, here and in every process that is started from here. Two
    # threads a process under contention cost thirty times the CPU time; settings named `threads`
    # raise it where it pays.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    terminal.take_any_character()
    outcome: Any = None
    try:
        with handle_signals():
            outcome = app(arguments, standalone_mode=False, prog_name="asymrl")
        terminal.flush_streams()
    except typer.Exit as stop:
        outcome = stop.exit_code
    except typer.TyperException as error:
        # a bare 'asymrl' has printed its help by now, and says nothing more
        _exit_with(
            f"error: {error} ('asymrl --help' lists commands and options)" if f"{error}" else "", 2
        )
    except (KeyboardInterrupt, typer.Abort):
        outcome = 130
    except Exception as error:
        _exit_with(f"error: {failures.failure_line(error)}", 1)
    if exit_code() or outcome == 130:  # typer makes an exit code of a KeyboardInterrupt
        if arguments is None:  # the process ends here, and a second Ctrl-C ends it at once
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        _exit_with("interrupted; run the same command again to go on", exit_code() or 130)
    sys.exit(outcome if isinstance(outcome, int) else 0)


def _exit_with(message: str, code: int) -> None:
    from asymreinforce import terminal

    with contextlib.suppress(OSError):
        terminal.flush_streams()
    if message:
        terminal.print_line(message)
    sys.exit(code)


if __name__ == "__main__":
    main()

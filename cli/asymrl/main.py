"""The program `asymrl`: typer parses the subcommands, Hydra the KEY=VALUE settings.

No heavy module is imported here, so that `asymrl --help` answers at once.
"""

import contextlib
import os
import signal
import sys
from typing import Annotated, Any

import typer

from asymrl import commands
from asymrl.inspect_command import inspect
from asymrl.new import new
from asymrl.push_command import push
from asymrl.report_command import report
from asymrl.samples_command import samples
from asymrl.search_command import search
from asymrl.settings_command import settings as settings_command
from asymrl.status_command import status

app = typer.Typer(
    name="asymrl",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help=(
        "Off-policy REINFORCE on language models: one frozen policy, one set of rollouts, a swept "
        "baseline (Arnal et al. 2025, arXiv 2506.20520).\n\n"
        "Stages exchange parquet files below runs/<name>/; each can be killed and run again. "
        "Every command works with no argument, in this order, on an embedded tiny policy:\n\n"
        "  asymrl init && asymrl generate && asymrl score && asymrl train && asymrl evaluate\n\n"
        "  asymrl sweep baseline=-0.3,-0.1,0,0.1 replicate=0,1,2     does all of it"
    ),
)


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
    """Take the options before a command."""


HYDRA = {"ignore_unknown_options": True, "allow_extra_args": True}

app.command()(new)
app.command(context_settings=HYDRA)(commands.init)
app.command("import", context_settings=HYDRA)(commands.import_)
app.command(context_settings=HYDRA)(commands.generate)
app.command(context_settings=HYDRA)(commands.score)
app.command(context_settings=HYDRA)(commands.train)
app.command(context_settings=HYDRA)(commands.evaluate)
app.command(context_settings=HYDRA)(commands.sweep)
app.command(context_settings=HYDRA)(search)
app.command("run", context_settings=HYDRA)(commands.run_rounds)
app.command(context_settings=HYDRA)(commands.plan)
app.command(context_settings=HYDRA)(commands.bandit)
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


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; any error prints one message and exits with code 1.

    The message says how to fix the problem if a user can, else it names the log with the traceback.
    """
    from asymreinforce import failures, terminal
    from asymreinforce.interruption import exit_code, handle_signals

    # torch reads the variable once, at import, here and in each child process. With two threads per
    # process, contention costs thirty times the CPU time. Settings named `threads` raise the number
    # where more threads pay.
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
        # A bare 'asymrl' has already printed its help, and has no error text.
        _exit_with(
            f"error: {error} ('asymrl --help' lists commands and options)" if f"{error}" else "", 2
        )
    except (KeyboardInterrupt, typer.Abort):
        outcome = 130
    except Exception as error:
        _exit_with(f"error: {failures.failure_line(error)}", 1)
    if exit_code() or outcome == 130:  # typer makes an exit code of a KeyboardInterrupt
        if arguments is None:  # the process is about to end; let a second Ctrl-C end it at once
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

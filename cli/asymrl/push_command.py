"""`asymrl push`: upload a checkpoint or rollouts to the hub. Heavy modules load when it runs."""

from pathlib import Path
from typing import Annotated

import typer


def push(
    directory: Annotated[Path, typer.Argument(help="An experiment directory.")],
    to: Annotated[str, typer.Option(help="The repository, such as user/name.")],
    rollouts: Annotated[
        bool, typer.Option("--rollouts", help="Push rollouts with verdicts, as a dataset.")
    ] = False,
    arm: Annotated[
        str | None,
        typer.Option(help="An arm, by a prefix of its id; default: the best on validation."),
    ] = None,
    step: Annotated[
        int | None, typer.Option(min=1, help="A step of the arm; default: the best on validation.")
    ] = None,
    set_: Annotated[
        str | None,
        typer.Option("--set", help="A set of rollouts, by a prefix of its name; default: shared."),
    ] = None,
    grader: Annotated[
        str | None, typer.Option(help="Verdicts of this grader; default: the newest.")
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="Make the repository public.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the card and the files, send nothing.")
    ] = False,
) -> None:
    """Push a checkpoint, or rollouts with verdicts, to the Hugging Face hub (private by default).

    asymrl push runs/mine --to me/my-policy --dry-run    print card and files, send nothing

    asymrl push runs/mine --to me/my-policy              weights, tokenizer and a model card

    asymrl push runs/mine --to me/my-policy --arm 0dd6e7 --step 300

    asymrl push runs/mine --to me/my-rollouts --rollouts

    The token comes from 'hf auth login' or from HF_TOKEN.
    """
    from asymreinforce import terminal
    from asymreinforce.errors import ConfigError
    from asymreinforce.hub.client import Hub
    from asymreinforce.hub.push import push_checkpoint, push_rollouts
    from asymreinforce.progress import say

    if rollouts and (arm or step):
        raise ConfigError("--arm and --step choose a checkpoint; leave them out with --rollouts")
    if not rollouts and (set_ or grader):
        raise ConfigError("--set and --grader choose rollouts; add --rollouts")
    hub = None if dry_run else Hub()  # a dry run works without a network
    if rollouts:
        done = push_rollouts(directory, to, hub=hub, rollouts=set_, grader=grader, public=public)
    else:
        done = push_checkpoint(directory, to, hub=hub, arm=arm, step=step, public=public)
    if dry_run:
        terminal.print_line(done.card, to_stderr=False)
    megabytes = sum(done.files.values()) / 1e6
    for name, size in done.files.items() if dry_run else ():
        say(f"{size:>12,} bytes  {name}")
    what = f"{done.what} {to}: {len(done.files)} files, {megabytes:,.1f} MB"
    say(
        f"pushed {what}: {done.address}" if done.address else f"would push {what}; nothing was sent"
    )

"""The options of `asymrl samples`. Heavy modules are imported when the command runs."""

from pathlib import Path
from typing import Annotated

import typer


def samples(
    directory: Annotated[Path, typer.Argument(help="An experiment directory.")] = Path("runs/cups"),
    arm: Annotated[
        str | None, typer.Option(help="An arm, by a prefix of its id; default: the best.")
    ] = None,
    step: Annotated[
        int | None, typer.Option(min=0, help="0 is the behaviour policy; default: the last.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="held_out, validation or train; default: the reported one.")
    ] = None,
    prompt_id: Annotated[list[str] | None, typer.Option(help="Only these prompts.")] = None,
    correct: Annotated[bool, typer.Option("--correct", help="Show correct ones.")] = False,
    incorrect: Annotated[bool, typer.Option("--incorrect", help="Show incorrect ones.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="Prompts to show.")] = 3,
    characters: Annotated[int, typer.Option(min=1, help="Characters of each text.")] = 600,
) -> None:
    """Show the graded completions of a checkpoint, behind a reported accuracy. Read only.

    asymrl samples                                       the best arm of runs/cups, its last step

    asymrl samples runs/mine --arm 0dd6e7 --step 300     one checkpoint of the report

    asymrl samples runs/mine --step 0 --incorrect        errors of the behaviour policy

    asymrl samples runs/mine --arm 0dd6e7 --prompt-id q1
    """
    from asymrl.samples import WantedSamples, run_samples

    outcomes = {
        name for name, is_asked in (("correct", correct), ("incorrect", incorrect)) if is_asked
    }
    wanted = WantedSamples(frozenset(prompt_id or ()), frozenset(outcomes), limit, characters)
    run_samples(directory, wanted, arm=arm, step=step, split=split)

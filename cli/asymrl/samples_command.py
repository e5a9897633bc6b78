"""The options of `asymrl samples`. Nothing heavy is imported before it runs."""

from pathlib import Path
from typing import Annotated

import typer


def samples(
    directory: Annotated[Path, typer.Argument(help="An experiment directory.")] = Path("runs/cups"),
    arm: Annotated[
        str | None, typer.Option(help="An arm, by how its name begins; the best by default.")
    ] = None,
    step: Annotated[
        int | None, typer.Option(min=0, help="0 is the behaviour policy; the last by default.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="held_out, validation or train; the reported one by default.")
    ] = None,
    prompt_id: Annotated[list[str] | None, typer.Option(help="Of these prompts alone.")] = None,
    correct: Annotated[bool, typer.Option("--correct", help="Judged correct.")] = False,
    incorrect: Annotated[bool, typer.Option("--incorrect", help="Judged incorrect.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="Prompts shown.")] = 3,
    characters: Annotated[int, typer.Option(min=1, help="Of each text.")] = 600,
) -> None:
    """Show the graded completions behind an accuracy: what a checkpoint wrote; read only.

    asymrl samples                                       the best arm of runs/cups, its last step

    asymrl samples runs/mine --arm 0dd6e7 --step 300     a number of the report

    asymrl samples runs/mine --step 0 --incorrect        what the behaviour policy gets wrong

    asymrl samples runs/mine --arm 0dd6e7 --prompt-id q1
    """
    from asymrl.samples import WantedSamples, run_samples

    outcomes = {
        name for name, is_asked in (("correct", correct), ("incorrect", incorrect)) if is_asked
    }
    wanted = WantedSamples(frozenset(prompt_id or ()), frozenset(outcomes), limit, characters)
    run_samples(directory, wanted, arm=arm, step=step, split=split)

"""`asymrl samples`: print the completions of a checkpoint with their verdicts.

Heavy modules are imported when the command runs.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asymreinforce import terminal
from asymrl.console import cut_text, outcome_style, styled_text

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from asymreinforce.viewing.completions import Chosen, QuestionCompletions

LONGEST_ANSWER = 60


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
    from asymreinforce.report.experiment import read_experiment
    from asymreinforce.viewing.completions import choose, read_completions

    asked_for = (("correct", correct), ("incorrect", incorrect))
    wanted = {outcome for outcome, is_wanted in asked_for if is_wanted}
    experiment = read_experiment(directory)
    chosen = choose(experiment, arm=arm, step=step, split=split)
    console = terminal.make_console()
    console.print(_heading_text(chosen), soft_wrap=True)
    shown = prompts = rows = 0
    for asked in read_completions(experiment, chosen):
        if prompt_id and asked.prompt_id not in prompt_id:
            continue
        outcomes = enumerate(row.outcome for row in asked.completions)
        matching = [place for place, outcome in outcomes if not wanted or outcome in wanted]
        prompts += bool(matching)
        rows += len(matching)
        if matching and shown < limit:
            shown += 1
            _print_prompt(console, asked, matching, characters=characters)
    more = f"; {shown} of these prompts are shown, --limit shows more" if shown < prompts else ""
    matched = f"{rows} completions of {prompts} prompts match{more}"
    console.print(matched if rows else "no completion matches", soft_wrap=True)


def _heading_text(chosen: "Chosen") -> "Text":
    arm, checkpoint = chosen
    baseline = f" baseline={arm.baseline:g}" if arm.uses_baseline else ""
    accuracy = f"{100 * checkpoint.accuracy:.1f}%"
    return styled_text(
        f"{arm.algorithm}{baseline} seed={arm.seed} (arm {arm.id}), step {checkpoint.step}, "
        f"{checkpoint.split.replace('_', '-')} accuracy {accuracy}",
        style="bold",
    )


def _print_prompt(
    console: "Console", asked: "QuestionCompletions", matching: list[int], *, characters: int
) -> None:
    console.rule(styled_text(asked.prompt_id, style="bold"), align="left")
    console.print(cut_text(asked.question or "(its prompt is not in this experiment)", characters))
    if asked.gold_answer is not None:
        gold = cut_text(asked.gold_answer, LONGEST_ANSWER)
        console.print(styled_text("gold answer: ", style="dim") + gold)
    for place in matching:
        row = asked.completions[place]
        cut_off = ", cut off" if row.finish_reason == "length" else ""
        heading = f"sample {row.sample} · {row.outcome} · {row.tokens} tokens{cut_off} · answer "
        answer = cut_text("none" if row.answer is None else row.answer, LONGEST_ANSWER)
        console.print(styled_text(heading, style=outcome_style(row.outcome)) + answer)
        console.print(cut_text(row.text, characters))

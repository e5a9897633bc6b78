"""Print the completions of a checkpoint with their verdicts, for `asymrl samples`."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from asymreinforce import terminal
from asymrl.console import cut_text, outcome_style, styled_text

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from asymreinforce.viewing.completions import Chosen, QuestionCompletions

LONGEST_ANSWER = 60


class WantedSamples(NamedTuple):
    """The choice of completions to show; an empty set chooses all."""

    prompt_ids: frozenset[str]
    outcomes: frozenset[str]
    limit: int
    characters: int


def run_samples(
    directory: Path, wanted: WantedSamples, *, arm: str | None, step: int | None, split: str | None
) -> None:
    """Print the wanted completions; raises `InputError` if there is no such checkpoint."""
    from asymreinforce.report.experiment import read_experiment
    from asymreinforce.viewing.completions import choose, read_completions

    experiment = read_experiment(directory)
    chosen = choose(experiment, arm=arm, step=step, split=split)
    console = terminal.make_console()
    console.print(_heading_text(chosen), soft_wrap=True)
    shown = prompts = rows = 0
    for asked in read_completions(experiment, chosen):
        matching = _matching_places(asked, wanted)
        prompts += bool(matching)
        rows += len(matching)
        if matching and shown < wanted.limit:
            shown += 1
            _print_prompt(console, asked, matching, characters=wanted.characters)
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


def _matching_places(asked: "QuestionCompletions", wanted: WantedSamples) -> list[int]:
    if wanted.prompt_ids and asked.prompt_id not in wanted.prompt_ids:
        return []
    return [
        place
        for place, completion in enumerate(asked.completions)
        if not wanted.outcomes or completion.outcome in wanted.outcomes
    ]


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

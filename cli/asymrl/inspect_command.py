"""The options of `asymrl inspect`. Heavy modules are imported when the command runs."""

from pathlib import Path
from typing import Annotated

import typer


def inspect(
    directory: Annotated[Path, typer.Argument(help="An experiment directory.")] = Path("runs/cups"),
    baseline: Annotated[float, typer.Option(help="Show A = r - V at this baseline.")] = -0.1,
    reference: Annotated[
        str, typer.Option(help="group_mean, leave_one_out, dataset_mean or zero.")
    ] = "group_mean",
    grader: Annotated[
        str | None, typer.Option(help="Show verdicts of this grader; default: the task's grader.")
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="Another grader: print the rollouts on which both differ.")
    ] = None,
    rollouts: Annotated[
        str | None,
        typer.Option(help="A set of rollouts, by a prefix of its name; default: the shared set."),
    ] = None,
    round_: Annotated[
        int | None,
        typer.Option("--round", min=0, help="Rollouts of the round that began at this step."),
    ] = None,
    arm: Annotated[
        str | None, typer.Option(help="Reward and rounds of this arm, by a prefix of its id.")
    ] = None,
    prompt_id: Annotated[list[str] | None, typer.Option(help="Only these prompts.")] = None,
    policy: Annotated[str | None, typer.Option(help="Only rollouts of this policy.")] = None,
    correct: Annotated[bool, typer.Option("--correct", help="Show correct ones.")] = False,
    incorrect: Annotated[bool, typer.Option("--incorrect", help="Show incorrect ones.")] = False,
    truncated: Annotated[bool, typer.Option("--truncated", help="Show cut-off ones.")] = False,
    no_answer: Annotated[bool, typer.Option("--no-answer", help="Without an answer.")] = False,
    unjudged: Annotated[bool, typer.Option("--unjudged", help="Timed out or failed.")] = False,
    counts: Annotated[
        bool, typer.Option("--counts", help="Only counts, by policy, level and subject.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="Prompts to show.")] = 3,
    characters: Annotated[int, typer.Option(min=1, help="Characters of each text.")] = 600,
) -> None:
    """Show rollouts: each prompt with its group, rewards, advantages and answers. Read only.

    asymrl inspect                                       the first prompts of the shared set

    asymrl inspect runs/mine --incorrect --limit 10      the incorrect ones of ten prompts

    asymrl inspect runs/mine --prompt-id q1 --baseline 0

    asymrl inspect runs/mine --counts                    by policy, level and subject

    asymrl inspect runs/mine --round 250 --arm 0dd6e7    the rollouts of an arm at step 250

    asymrl inspect runs/mine --grader math --against gsm8k
    """
    from asymreinforce.viewing.shown_reward import choose_reward
    from asymreinforce.viewing.stored import find_set
    from asymrl.inspection import WantedRollouts, compare_graders, print_rollouts, view_of

    rollout_set = find_set(directory, rollouts=rollouts, round_=round_, arm=arm)
    reward = choose_reward(rollout_set, grader=grader, arm=arm)
    view = view_of(baseline=baseline, reference=reference, reward=reward)
    if against is not None:
        compare_graders(rollout_set, reward, against=against)
        return
    outcomes = {
        "correct": correct,
        "incorrect": incorrect,
        "no_answer": no_answer,
        "timeout": unjudged,
        "error": unjudged,
    }
    wanted = WantedRollouts(
        outcomes=frozenset(name for name, asked in outcomes.items() if asked),
        prompt_ids=frozenset(prompt_id or ()),
        policy=policy,
        truncated=truncated,
    )
    shown = 0 if counts else limit
    print_rollouts(rollout_set, reward, view, wanted, limit=shown, characters=characters)

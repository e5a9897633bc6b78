"""The options of `asymrl inspect`. Nothing heavy is imported before it runs."""

from pathlib import Path
from typing import Annotated

import typer


def inspect(
    directory: Annotated[Path, typer.Argument(help="An experiment directory.")] = Path("runs/cups"),
    baseline: Annotated[float, typer.Option(help="Advantages are A = r - V at this.")] = -0.1,
    reference: Annotated[
        str, typer.Option(help="group_mean, leave_one_out, dataset_mean or zero.")
    ] = "group_mean",
    grader: Annotated[
        str | None, typer.Option(help="Whose verdicts alone; by default the task's grader's.")
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="Another grader: print where the two disagree.")
    ] = None,
    rollouts: Annotated[
        str | None,
        typer.Option(help="A set, by how its name begins; the one that arms share by default."),
    ] = None,
    round_: Annotated[
        int | None,
        typer.Option("--round", min=0, help="The set of the round that began at this step."),
    ] = None,
    arm: Annotated[
        str | None, typer.Option(help="Whose reward and round, by how the arm's name begins.")
    ] = None,
    prompt_id: Annotated[list[str] | None, typer.Option(help="Of these prompts alone.")] = None,
    policy: Annotated[str | None, typer.Option(help="Rollouts of this policy.")] = None,
    correct: Annotated[bool, typer.Option("--correct", help="Judged correct.")] = False,
    incorrect: Annotated[bool, typer.Option("--incorrect", help="Judged incorrect.")] = False,
    truncated: Annotated[bool, typer.Option("--truncated", help="Cut off.")] = False,
    no_answer: Annotated[bool, typer.Option("--no-answer", help="Without an answer.")] = False,
    unjudged: Annotated[bool, typer.Option("--unjudged", help="Timed out or failed.")] = False,
    counts: Annotated[
        bool, typer.Option("--counts", help="Counts alone, by policy, level and subject.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="Prompts shown.")] = 3,
    characters: Annotated[int, typer.Option(min=1, help="Of each text.")] = 600,
) -> None:
    """Look at rollouts: a prompt with its group, rewards, advantages, answers; read only.

    asymrl inspect                                       the first prompts of the shared set

    asymrl inspect runs/mine --incorrect --limit 10      of each prompt the incorrect ones

    asymrl inspect runs/mine --prompt-id q1 --baseline 0

    asymrl inspect runs/mine --counts                    by policy, level and subject

    asymrl inspect runs/mine --round 250 --arm 0dd6e7    what an arm generated at step 250

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

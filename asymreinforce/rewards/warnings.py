"""Warn of runs that can teach little whatever their baseline, from counts alone.

The terminal shows the warnings before an arm trains, and the report shows them beside its results.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from asymreinforce.config import RewardConfig
from asymreinforce.rewards.counts import ScoreFacts

FILE = "run-facts.json"
"""The file of the counts in an arm's directory; no result depends on it."""

MOST_CUT_OFF = 0.1
MOST_EQUAL = 0.9
# One checkpoint makes no curve and leaves no choice.
FEWEST_CHECKPOINTS = 2


class RunFacts(NamedTuple):
    """Counts of scored rollouts, and the steps of an arm that trains on them."""

    completions: int
    cut_off: int
    no_answer: int
    equal_groups: float | None
    """Share of the groups in which all rewards are equal; None if no group is judged."""
    prompts: int
    is_imported: bool
    truncated: str = "incorrect"
    """`reward.truncated`: how completions that were cut off are judged."""
    has_group_reference: bool = True
    """Whether the reference of the baseline is the mean reward of the group."""
    prompts_per_step: int = 0
    steps: int | None = None
    """The steps of the arm; None if there are only rollouts."""
    checkpoint_every: int = 1


def of_verdicts(counted: ScoreFacts, *, reward: RewardConfig, is_imported: bool) -> RunFacts:
    """Return the counts of scored rollouts, before an arm trains on them."""
    return RunFacts(
        completions=counted.rows,
        cut_off=counted.truncated,
        no_answer=counted.no_answer,
        equal_groups=counted.equal_groups,
        prompts=counted.prompts,
        is_imported=is_imported,
        truncated=reward.truncated,
    )


def warnings(facts: RunFacts) -> list[str]:
    """Return one sentence with advice for each reason why a run can teach little."""
    return [
        line
        for line in (_cut_off(facts), _no_answer(facts), _equal(facts), *_steps(facts))
        if line is not None
    ]


def facts_from(values: Mapping[str, Any]) -> RunFacts:
    """Return the facts in a file; raises `KeyError` if another version wrote other names."""
    return RunFacts(**{name: values[name] for name in RunFacts._fields})


def _cut_off(facts: RunFacts) -> str | None:
    if facts.truncated == "as_judged" or facts.cut_off <= MOST_CUT_OFF * facts.completions:
        return None
    longer = (
        "bring rollouts that were given more tokens"
        if facts.is_imported
        else "raise sampling.max_tokens (and policy.context)"
    )
    effect = "are left out" if facts.truncated == "exclude" else "count as incorrect"
    return (
        f"{_share(facts.cut_off, facts.completions)} of the completions are cut off, and {effect}: "
        f"{longer}, or judge them as they stand (reward.truncated=as_judged)"
    )


def _no_answer(facts: RunFacts) -> str | None:
    if not facts.completions or facts.no_answer < facts.completions:
        return None
    return (
        "the grader found an answer in none of the completions: ask for the form that it reads "
        "(task.instruction), or take another task.grader; 'asymrl inspect' shows the texts"
    )


def _equal(facts: RunFacts) -> str | None:
    are_groups = facts.has_group_reference and facts.completions > facts.prompts
    if not are_groups or facts.equal_groups is None or facts.equal_groups <= MOST_EQUAL:
        return None
    more = "" if facts.is_imported else "raise sampling.samples_per_prompt, or "
    return (
        f"in {100 * facts.equal_groups:.0f}% of the groups all rewards are equal, so that only the "
        f"baseline moves them: {more}take questions that the policy answers rightly now and then "
        "('asymrl inspect' shows whether the grader is to blame)"
    )


def _steps(facts: RunFacts) -> list[str | None]:
    if facts.steps is None:
        return []
    too_large = too_few = None
    if facts.prompts_per_step > facts.prompts:
        too_large = (
            f"a step takes {facts.prompts_per_step} prompts and the rollouts have {facts.prompts}, "
            "so that a step holds some of them twice: lower optim.trajectories_per_step, or bring "
            "more questions"
        )
    if facts.steps < FEWEST_CHECKPOINTS * facts.checkpoint_every:
        too_few = (
            f"an arm has {facts.steps} steps and a checkpoint every {facts.checkpoint_every}: "
            "raise optim.epochs or optim.steps, or lower optim.trajectories_per_step or "
            f"train.checkpoint_every, for {FEWEST_CHECKPOINTS} checkpoints or more"
        )
    return [too_large, too_few]


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f}%"

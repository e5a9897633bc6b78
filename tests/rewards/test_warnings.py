"""When a run can teach little: each reason at its border, with what to change."""

import pytest

from asymreinforce.rewards.warnings import RunFacts, facts_from, warnings

SOUND = RunFacts(
    completions=1000,
    cut_off=100,
    no_answer=999,
    equal_groups=0.9,
    prompts=16,
    is_imported=False,
    prompts_per_step=16,
    steps=60,
    checkpoint_every=30,
)
"""Each count as far as it may go."""


def test_a_run_at_every_border_is_sound() -> None:
    assert warnings(SOUND) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cut_off": 101}, ("10% of the completions are cut off", "sampling.max_tokens")),
        ({"cut_off": 500, "is_imported": True}, ("50%", "bring rollouts", "reward.truncated")),
        ({"cut_off": 500, "truncated": "exclude"}, ("50%", "are left out", "as_judged")),
        ({"no_answer": 1000}, ("in none of the completions", "task.instruction", "task.grader")),
        ({"equal_groups": 0.95}, ("95% of the groups", "sampling.samples_per_prompt")),
        ({"equal_groups": 1.0, "is_imported": True}, ("100% of the groups", "take questions")),
        ({"prompts": 15}, ("takes 16 prompts", "have 15", "optim.trajectories_per_step")),
        ({"steps": 59}, ("59 steps", "every 30", "optim.epochs", "train.checkpoint_every")),
    ],
)
def test_what_makes_a_run_useless_is_one_warning_that_says_what_to_change(
    change: dict[str, object], words: tuple[str, ...]
) -> None:
    (line,) = warnings(facts_from(SOUND._asdict() | change))
    for word in words:
        assert word in line


def test_nobody_who_judges_cut_off_completions_as_they_stand_is_told_to() -> None:
    assert warnings(SOUND._replace(cut_off=1000, truncated="as_judged")) == []


@pytest.mark.parametrize(
    "change",
    [
        {"prompts": 1000},
        {"has_group_reference": False},
        {"equal_groups": None},
    ],
)
def test_equal_rewards_are_no_fault_where_no_group_is_compared(change: dict[str, object]) -> None:
    facts = facts_from(SOUND._asdict() | {"equal_groups": 1.0, **change})
    assert warnings(facts) == []


def test_rollouts_that_nothing_trains_on_yet_have_no_steps_to_warn_of() -> None:
    facts = SOUND._replace(steps=None, prompts_per_step=99)
    assert warnings(facts) == []

"""What is said of a sweep beside a figure of the paper is what the sweep says."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asymreinforce.report.bandit.words import AGREES, DIFFERS
from asymreinforce.report.groups import group_arms
from asymreinforce.report.records import ArmOutcome, Checkpoint, Experiment, ReportedArm
from scripts.paper import claims
from scripts.paper.arms import step_of_fall, swept_groups
from tests.fixtures.made_up_experiment import empty

OF_THE_SWEEP: dict[str, Any] = {
    "algorithm": "asymre", "baseline_reference": "group_mean", "policy_seed": 0, "sampling_seed": 0,
    "settings": {}, "differing": {},
}  # fmt: skip

Course = Mapping[int, float]


def arm(baseline: float, seed: int, course: Course, **changes: Any) -> ReportedArm:
    """Return an arm whose accuracy, on both splits, and entropy by step are given."""
    last = max(course)
    peak = max(course, key=lambda step: course[step])
    is_down = course[last] < 0.5 * course[peak]
    outcome = empty(ArmOutcome)._replace(
        step=last, accuracy=course[last], behaviour_accuracy=course[0], peak_step=peak,
        peak_accuracy=course[peak], verdict="collapsed" if is_down else "improved",
    )  # fmt: skip
    checkpoints = tuple(
        empty(Checkpoint)._replace(
            split=split,
            step=step,
            accuracy=value,
            accuracy_se=0.0,
            k=2,
            entropy=2 * value,
        )
        for split in ("held_out", "train")
        for step, value in course.items()
    )
    return empty(ReportedArm)._replace(
        id=f"{baseline}-{seed}-{changes}", outcome=outcome, checkpoints=checkpoints, metrics={},
        **{**OF_THE_SWEEP, "baseline": baseline, "seed": seed, **changes},
    )  # fmt: skip


def experiment(arms: list[ReportedArm]) -> Experiment:
    ordered = sorted(arms, key=lambda arm: (arm.algorithm, arm.baseline or 0.0, arm.seed))
    return Experiment(Path("runs/x"), "x", tuple(ordered), {})


def told(claim: Any, arms: list[ReportedArm]) -> list[tuple[str, str]]:
    made = experiment(arms)
    return [(found.verdict, found.text) for found in claim(made, group_arms(made))]


AS_IN_THE_PAPER = [
    arm(-0.3, 0, {0: 0.4, 30: 0.5, 60: 0.7}),
    arm(-0.1, 0, {0: 0.4, 30: 0.6, 60: 0.9}),
    arm(0.0, 0, {0: 0.4, 30: 0.7, 60: 0.6, 90: 0.1}),
    arm(0.2, 0, {0: 0.4, 30: 0.6, 60: 0.2, 90: 0.1}),
]
OTHERWISE = [
    arm(-0.3, 0, {0: 0.4, 30: 0.7, 60: 0.9}),
    arm(-0.1, 0, {0: 0.4, 30: 0.6, 60: 0.1}),
    arm(0.0, 0, {0: 0.4, 30: 0.7, 60: 0.2, 90: 0.1}),
    arm(0.2, 0, {0: 0.4, 30: 0.6, 60: 0.6, 90: 0.1}),
    arm(0.3, 0, {0: 0.4, 30: 0.6, 60: 0.6, 90: 0.6}),
]


def test_a_sweep_like_the_papers_is_told_as_such() -> None:
    assert told(claims.held_out_accuracy, AS_IN_THE_PAPER) == [
        (AGREES, "Below 0 training is stable in the paper; here 0 of 2 arms collapsed."),
        (AGREES, "Below 0 the paper's accuracy rises faster towards 0; here held-out accuracy "
         "after 30 steps is 50.0% at −0.3 and 60.0% at −0.1; differences under 0.0 points are "
         "noise."),
        (AGREES, "At 0 and above accuracy collapses in the paper; here 2 of 2 arms collapsed."),
        (AGREES, "The paper's collapse comes earlier for larger baselines; here held-out accuracy "
         "first falls under half of its peak at step 90 at 0 and 60 at +0.2, on average over "
         "seeds."),
        (AGREES, "Of the baselines below 0, −0.1 ends highest: 70.0% at −0.3 and 90.0% at −0.1 at "
         "the last step."),
    ]  # fmt: skip


def test_a_sweep_that_does_otherwise_is_told_with_its_numbers() -> None:
    found = told(claims.held_out_accuracy, OTHERWISE)
    assert [verdict for verdict, _ in found] == [DIFFERS] * 5
    texts = [text for _, text in found]
    assert "here 1 of 2 arms collapsed" in texts[0]
    assert "70.0% at −0.3 and 60.0% at −0.1" in texts[1]
    assert "here 2 of 3 arms collapsed" in texts[2]
    assert "step 60 at 0 and 90 at +0.2, on" in texts[3]
    assert "−0.3 ends highest, and not −0.1, the nearest to 0" in texts[4]


def test_collapses_at_the_same_evaluated_step_are_no_order() -> None:
    tied = [*AS_IN_THE_PAPER, arm(0.3, 0, {0: 0.4, 30: 0.6, 60: 0.2, 90: 0.1})]
    verdict, text = told(claims.held_out_accuracy, tied)[3]
    assert verdict == DIFFERS
    assert "step 90 at 0, 60 at +0.2 and 60 at +0.3, on average over seeds, and evaluated" in text


def test_train_accuracy_is_read_from_training_prompts() -> None:
    changed = [
        arm_._replace(checkpoints=tuple(
            c._replace(accuracy=0.5) if c.split == "train" else c for c in arm_.checkpoints
        ))
        for arm_ in AS_IN_THE_PAPER
    ]  # fmt: skip
    speed = told(claims.train_accuracy, changed)[1]
    assert speed == (
        DIFFERS,
        "Below 0 the paper's accuracy rises faster towards 0; here train accuracy after 30 steps "
        "is 50.0% at −0.3 and 50.0% at −0.1; differences under 0.0 points are noise, so no order "
        "is to be seen.",
    )


def test_an_order_counts_only_beyond_the_noise_of_its_differences() -> None:
    def noisy(se: float) -> list[ReportedArm]:
        return [
            made._replace(checkpoints=tuple(c._replace(accuracy_se=se) for c in made.checkpoints))
            for made in AS_IN_THE_PAPER
        ]

    # 60 less 50 points; two standard errors of a difference are 2 sqrt(2) se
    assert told(claims.held_out_accuracy, noisy(0.03))[1] == (
        AGREES,
        "Below 0 the paper's accuracy rises faster towards 0; here held-out accuracy after 30 "
        "steps is 50.0% at −0.3 and 60.0% at −0.1; differences under 8.5 points are noise.",
    )
    assert told(claims.held_out_accuracy, noisy(0.04))[1][0] == DIFFERS


def test_seeds_that_collapse_are_counted_at_0_and_at_minus_0_1() -> None:
    stable, down = {0: 0.4, 30: 0.9}, {0: 0.4, 30: 0.6, 60: 0.1}
    like = [*(arm(-0.1, seed, stable) for seed in (0, 1)), *(arm(0.0, s, down) for s in (0, 1))]
    assert told(claims.every_seed, like) == [
        (AGREES, "At 0 the paper's 7 runs all collapse; here 2 of 2 do."),
        (AGREES, "At −0.1 the paper's 7 runs are stable; here 0 of 2 collapse, and they end at "
         "90.0% to 90.0%."),
    ]  # fmt: skip
    unlike = [arm(-0.1, 0, down), arm(-0.1, 1, stable), arm(0.0, 0, down), arm(0.0, 1, stable)]
    found = told(claims.every_seed, unlike)
    assert [verdict for verdict, _ in found] == [DIFFERS, DIFFERS]
    assert "here 1 of 2 do" in found[0][1] and "end at 10.0% to 90.0%" in found[1][1]


def test_the_written_rule_makes_a_collapse_of_an_arm_whose_verdict_is_stable() -> None:
    ended = arm(0.0, 0, {0: 0.4, 30: 0.39})
    assert ended.outcome
    by_rule = ended._replace(outcome=ended.outcome._replace(verdict="stable", collapse_step=20))
    assert told(claims.every_seed, [by_rule])[0][1].endswith("here 1 of 1 do.")


def test_the_rival_is_compared_on_the_seeds_that_both_have() -> None:
    own = [arm(-0.1, seed, {0: 0.4, 30: 0.6, 60: 0.8 + 0.01 * seed}) for seed in (0, 1)]
    rival = [arm(0.0, seed, {0: 0.4, 30: 0.5, 60: 0.5}, algorithm="grpo") for seed in (0, 1, 2)]
    higher, faster = told(claims.against_rival, own + rival)
    assert higher[0] == faster[0] == AGREES
    # differences 0.30 and 0.31: mean 0.305, half-width 12.706 x 0.005
    assert (
        "is +30.5 points (80.5% and 50.0%; 2 paired seeds, 95% interval +24.1 to +36.9)"
        in (higher[1])
    )
    assert faster[1].endswith("it is at 60.0% after 30 steps, GRPO at 50.0%.")
    # a seed that the rival has not is in neither mean, so that these differ by what is told
    more = [*own, arm(-0.1, 7, {0: 0.4, 30: 0.6, 60: 0.1})]
    assert "is +30.5 points (80.5% and 50.0%; 2" in told(claims.against_rival, more + rival)[0][1]
    slower = [arm(-0.1, 0, {0: 0.4, 30: 0.45, 60: 0.45})]
    assert [v for v, _ in told(claims.against_rival, slower + rival)] == [DIFFERS, DIFFERS]
    assert told(claims.against_rival, own) == []


def test_entropy_that_falls_and_rises_again_is_told() -> None:
    # entropy is twice the accuracy, in these arms
    falling = [arm(-0.1, 0, {0: 0.8, 30: 0.6, 60: 0.5}), arm(0.1, 0, {0: 0.8, 30: 0.3, 60: 0.2})]
    assert told(claims.entropy, falling) == [
        (AGREES, "In the paper entropy falls faster for larger baselines; here it goes, within 30 "
         "steps, from 1.60 nats a completion to 1.20 at −0.1 and 0.60 at +0.1."),
    ]  # fmt: skip
    rising = [arm(-0.1, 0, {0: 0.8, 30: 0.3, 60: 0.2}), arm(0.1, 0, {0: 0.8, 30: 0.6, 60: 0.9})]
    found = told(claims.entropy, rising)
    assert [verdict for verdict, _ in found] == [DIFFERS, DIFFERS]
    assert found[1][1] == (
        "It does not go on falling: by the last step it has risen again, from 1.20 to 1.80 at +0.1."
    )


def test_an_arm_falls_where_it_is_first_under_half_of_a_peak_before() -> None:
    assert step_of_fall({0: 0.4, 30: 0.8, 60: 0.41, 90: 0.39}) == 90
    assert step_of_fall({0: 0.1, 30: 0.3, 60: 0.8}) is None
    assert step_of_fall({}) is None


def test_the_sweep_is_the_settings_that_most_arms_have() -> None:
    usual = [arm(b, 0, {0: 0.4}, settings={"optim.lr": 1}) for b in (-0.1, 0.1)]
    other = arm(0.0, 0, {0: 0.4}, differing={"optim.lr": 2})
    token = arm(0.0, 0, {0: 0.4}, baseline_reference="zero")
    found = swept_groups(group_arms(experiment([*usual, other, token])))
    assert [of.baseline for of in found] == [-0.1, 0.1]

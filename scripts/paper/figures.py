"""The paper's figures: setting, command of the counterpart, and texts.

`says` and `paper` report Arnal et al. 2025 (arXiv 2506.20520); all other texts come from data.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from asymreinforce.report.bandit import theorems
from asymreinforce.report.bandit.bench import Bench
from asymreinforce.report.bandit.curves import (
    entropy_by_step,
    improvement_by_iteration,
    reward_by_step,
)
from asymreinforce.report.bandit.sweeps import limit_by_value
from asymreinforce.report.bandit.words import Finding
from asymreinforce.report.figures.canvas import Drawing
from asymreinforce.report.groups import ArmGroup
from asymreinforce.report.records import Experiment
from scripts.paper import claims, sweep_curves

ON_MATH = (
    "Llama-3.1-8B-Instruct and Qwen2.5-3B-Instruct on MATH; δV in −0.5, −0.3, −0.2, −0.1, 0, 0.1, "
    "0.2, 0.3; 3 seeds; for the 8B model AdamW at 6e−8, G = 8, 128 trajectories a step, µ "
    "refreshed every 250 steps."
)
BANDIT = "100 arms, r ~ U[0, 1], µ = softmax(y/10), learning rate 1, from π = µ."
SWEEP_COMMAND = "make results"


class OfBench(NamedTuple):
    """A figure about the tabular bandit."""

    experiment: str
    """The preset of the theory bench with the data."""

    draw: tuple[Callable[[Bench], Drawing], ...]
    findings: tuple[Callable[[Bench], Iterable[Finding]], ...]


class OfSweep(NamedTuple):
    """A figure about a sweep over baselines on a language model."""

    draw: Callable[[Experiment, Sequence[ArmGroup]], list[Drawing]]
    findings: Callable[[Experiment, Sequence[ArmGroup]], list[Finding]]


class PaperFigure(NamedTuple):
    """A figure of the paper and the recipe of its counterpart."""

    number: str
    name: str
    title: str
    paper: str
    says: str
    command: str
    made_of: OfBench | OfSweep


FIGURES = (
    PaperFigure(
        "1", "figure-1", "Reward of the bandit over V",
        f"{BANDIT} V^µ about 0.5405, best arm 0.999.",
        "Reward rises with V up to about 0.89, and the support drops to a single arm as V crosses "
        "V^µ.",
        "asymrl bandit",
        OfBench(
            "section_5_1", (reward_by_step, limit_by_value),
            (theorems.limit_findings, theorems.peak_findings),
        ),
    ),
    PaperFigure(
        "2", "figure-2", "Policy improvement of the bandit",
        f"{BANDIT} 40 iterations of 500 steps, µ ← π after each.",
        "V = 0.525 and 0.54 end worse than V ≤ 0.5.",
        "asymrl bandit experiment=policy_improvement",
        OfBench(
            "policy_improvement", (improvement_by_iteration,),
            (theorems.policy_improvement,),
        ),
    ),
    PaperFigure(
        "3", "figure-3", "Train accuracy over training, a line a baseline",
        ON_MATH,
        "Below 0 training is stable, and faster towards 0; at 0 and above it collapses, earlier "
        "for larger δV, at 0 late.",
        SWEEP_COMMAND,
        OfSweep(sweep_curves.train_accuracy, claims.train_accuracy),
    ),
    PaperFigure(
        "4", "figure-4", "Held-out accuracy over training, a line a baseline",
        ON_MATH,
        "Test accuracy does as train accuracy does: stable below 0, a collapse at 0 and above.",
        SWEEP_COMMAND,
        OfSweep(sweep_curves.held_out_accuracy, claims.held_out_accuracy),
    ),
    PaperFigure(
        "5, left", "figure-5-left", "Every seed at 0 and at −0.1",
        "Llama-3.1-8B-Instruct on MATH; 7 runs at δV = 0 and 7 at −0.1.",
        "All 7 runs at 0 collapse, those at −0.1 are stable.",
        SWEEP_COMMAND,
        OfSweep(sweep_curves.every_seed, claims.every_seed),
    ),
    PaperFigure(
        "5, right", "figure-5-right", "AsymRE at −0.1 against GRPO",
        "Llama-3.1-8B-Instruct on MATH; δV = −0.1.",
        "AsymRE is faster than GRPO, and higher.",
        SWEEP_COMMAND,
        OfSweep(sweep_curves.against_rival, claims.against_rival),
    ),
    PaperFigure(
        "7", "figure-7", "Entropy of the bandit over training",
        BANDIT,
        "Entropy falls faster for larger V.",
        "asymrl bandit",
        OfBench("section_5_1", (entropy_by_step,), (theorems.entropy_findings,)),
    ),
    PaperFigure(
        "8", "figure-8", "Entropy of the language model over training, a line a baseline",
        ON_MATH,
        "Entropy falls faster for larger δV.",
        SWEEP_COMMAND,
        OfSweep(sweep_curves.entropy, claims.entropy),
    ),
)  # fmt: skip

"""Audit an arm at its start: compare stored log-probabilities with those of the model.

A mismatch is a warning and never an error, because AsymRE needs no log-probabilities. Comparisons
of pi with mu (KL, ratio objectives, effective sample size) depend on them.
"""

from asymreinforce.algorithm.mismatch import likely_causes
from asymreinforce.config import ExperimentConfig
from asymreinforce.data import files
from asymreinforce.data.rollouts import ScoredRollouts
from asymreinforce.data.store import Store
from asymreinforce.data.values import finite_or_none
from asymreinforce.progress import say
from asymreinforce.update.audit import audit_logps
from asymreinforce.update.packing import Sequences
from asymreinforce.update.trainer import Trainer

NAME = "mismatch.json"
"""The report's file in the arm's directory; it determines nothing, so it has no receipt."""


def audit_start(
    config: ExperimentConfig, trainer: Trainer, scored: ScoredRollouts, store: Store
) -> None:
    """Audit a few hundred rollouts with the starting model; print and publish the mismatch."""
    if not config.train.audit_rollouts:
        return
    behaviour = scored.behaviour(rollouts=config.train.audit_rollouts)
    if not behaviour.logps:
        say("mismatch audit: skipped, these rollouts have no log-probabilities")
        if trainer.ranks.is_first:
            files.publish_json(store.directory / NAME, {"rollouts": 0})
        return
    with trainer.scoring():
        mismatch, traces = audit_logps(
            trainer.scorer,
            Sequences(behaviour.prompts, behaviour.completions),
            behaviour.logps,
            tokens=trainer.tokens_per_micro_batch,
        )
    if not trainer.ranks.is_first:
        return
    named = likely_causes(mismatch, traces)
    figures = {name: finite_or_none(figure) for name, figure in mismatch._asdict().items()}
    report = {**figures, "causes": named}
    files.publish_json(store.directory / NAME, report)
    say(
        f"mismatch audit: |log pi - log mu| of {mismatch.tokens} tokens of "
        f"{mismatch.rollouts} rollouts: mean {mismatch.mean_difference:.2g}, "
        f"99th percentile {mismatch.p99_difference:.2g}; "
        f"{mismatch.outside:.1%} of ratios outside [0.9, 1.1]; effective sample size "
        f"{mismatch.effective_share:.1%}"
    )
    for cause in named:
        # rollouts of another policy differ for a good reason
        say(f"{'note' if scored.is_imported else 'warning'}: likely cause: {cause}")

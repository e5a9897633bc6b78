"""The collapse rule, kept up with a run while it trains and when it is resumed."""

from collections.abc import Iterable, Mapping
from typing import Any

from asymreinforce.algorithm.collapse import Rule, State, observe
from asymreinforce.config import ExperimentConfig
from asymreinforce.data import contracts
from asymreinforce.data.store import Store
from asymreinforce.stages.train.schedule import metrics_shard


class CollapseWatch:
    """What the rows of a run have shown so far."""

    def __init__(self, config: ExperimentConfig):
        self._rule = rule_of(config)
        self.state = State()

    def see(self, row: Mapping[str, Any]) -> None:
        """Take in the metrics of a step."""
        self.state = observe(self.state, row, self._rule)

    def catch_up(
        self, store: Store, checkpoints: Iterable[int], *, more: Iterable[Mapping[str, Any]] = ()
    ) -> None:
        """Take in the metrics that are published up to a checkpoint, and those of `more` steps."""
        for checkpoint in checkpoints:
            path = store.path(metrics_shard(checkpoint))
            for row in contracts.read(path, contracts.METRICS).to_pylist():
                self.see(row)
        for row in more:
            self.see(row)


def rule_of(config: ExperimentConfig) -> Rule:
    """Return the rule on the accuracies and rewards that a configuration makes."""
    return Rule(
        validation_prompts=max(1, config.train.validation_prompts),
        incorrect=config.reward.incorrect,
        correct=config.reward.correct,
    )

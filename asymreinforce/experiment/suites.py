"""Summarise the suites of an evaluation: one row for each arm, suite and checkpoint.

The main evaluation is included at the checkpoints at which a suite was evaluated. All checkpoints
share a suite's prompts and seed, so differences to mu are paired over prompts.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from asymreinforce.config import ExperimentConfig, RewardConfig
from asymreinforce.data import contracts
from asymreinforce.experiment.evaluated_steps import EvaluatedStep
from asymreinforce.experiment.summary_files import arm_columns, contract_table, publish_table
from asymreinforce.rewards import majority
from asymreinforce.rewards.majority import Majority, majority_of
from asymreinforce.rewards.sums import Sums, read_sums, standard_error

SUITES_PARQUET = "suites.parquet"


class _Measured(NamedTuple):
    sums: Sums
    majority: Majority


def write_suites(config: ExperimentConfig, evaluated: Sequence[EvaluatedStep]) -> None:
    """Write `suites.parquet` if a suite was evaluated."""
    if not any(item.suite for item in evaluated):
        return
    items = _beside_suites(config, evaluated)
    places = {item.store.directory / item.shard: item for item in items}
    measured = {path: _measure(item, config.reward) for path, item in places.items()}
    behaviour = {
        (item.arm.name, item.suite): measured[item.store.directory / item.shard]
        for item in items
        if item.step == 0
    }
    rows = [
        _row(
            config,
            item,
            measured[item.store.directory / item.shard],
            behaviour[item.arm.name, item.suite],
        )
        for item in items
    ]
    rows.sort(key=lambda row: (row["algorithm"], row["baseline"], row["seed"], row["arm"]))
    publish_table(
        config.directory / SUITES_PARQUET,
        contracts.SUITES,
        contract_table(contracts.SUITES, rows),
    )


def _beside_suites(
    config: ExperimentConfig, evaluated: Sequence[EvaluatedStep]
) -> list[EvaluatedStep]:
    """Return all evaluations of suites, and the main evaluation at the same steps."""
    known = {(item.arm.name, item.step) for item in evaluated if item.suite}
    kept = [
        item
        for item in evaluated
        if (item.suite or item.split == config.evaluation.split)
        and (item.arm.name, item.step) in known
    ]
    order = [None, *config.evaluation.suites]
    return sorted(kept, key=lambda item: (item.arm.name, order.index(item.suite), item.step))


def _measure(item: EvaluatedStep, reward: RewardConfig) -> _Measured:
    sums = read_sums(item.store, item.shard, reward)
    rows = contracts.read_table(
        item.store.directory / item.shard, contracts.EVALUATIONS, columns=majority.COLUMNS
    )
    return _Measured(sums, majority_of(rows, reward))


def _row(
    config: ExperimentConfig, item: EvaluatedStep, measured: _Measured, behaviour: _Measured
) -> dict[str, Any]:
    sums, vote = measured
    path = item.store.directory / item.shard
    names = ("k", "accuracy", "accuracy_se", "pass_at_k", "length", "truncated")
    return arm_columns(item.arm) | {
        "suite": item.suite or item.config.task.name,
        "is_main": item.suite is None,
        "split": item.split,
        "step": item.step,
        "is_last": item.step == item.arm.last_step,
        "prompts": len(sums.kept_P),
        **{name: getattr(sums, name) for name in names},
        "majority": vote.accuracy,
        "ties": vote.ties,
        "difference": sums.accuracy - behaviour.sums.accuracy,
        "difference_se": standard_error(sums.accuracy_P - behaviour.sums.accuracy_P),
        "evaluation": str(path.relative_to(config.directory)),
    }

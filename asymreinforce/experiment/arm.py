"""Train one arm; catch and record its failure, so that the other arms go on."""

import contextlib
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from asymreinforce.config import ExperimentConfig
from asymreinforce.data import files
from asymreinforce.data.arm_settings import FAILURE, Failure, publish_failure, publish_settings
from asymreinforce.data.store import Store
from asymreinforce.errors import (
    AsymreinforceError,
    ConfigError,
    HeldError,
    StorageError,
    TrainingError,
)
from asymreinforce.experiment import inputs
from asymreinforce.experiment.arms import is_readable
from asymreinforce.experiment.cleanup import remove_if_refused, remove_stage
from asymreinforce.experiment.launch import launch_ranks
from asymreinforce.experiment.open_arm import OpenArm, arm_directory, arm_store, open_arm
from asymreinforce.experiment.validation import open_validator
from asymreinforce.progress import say

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from asymreinforce.stages.train import Log, Validate
    from asymreinforce.stages.train.replay import EarlierRounds
    from asymreinforce.stages.train.schedule import Round
    from asymreinforce.update.ranks import Ranks


class ArmResult(NamedTuple):
    """How the training of an arm ended; `error` is empty if the arm is complete."""

    directory: Path
    error: str
    log: Path | None


def arm_warnings(config: ExperimentConfig) -> list[str]:
    """Return warnings about an arm before it is trained; its inputs must exist."""
    from asymreinforce.stages import train

    return train.warnings_on(config, inputs.find_inputs(config).scored)


def train_arm(config: ExperimentConfig) -> Store:
    """Train an arm on inputs that exist already; a sharded arm is trained by ranks.

    Raises the error of training, also if a rank's process raised the error.
    """
    if config.refresh_every:
        raise ConfigError(
            f"refresh_every={config.refresh_every} makes new rollouts during training: run "
            "'asymrl run' with the same settings"
        )
    arm = open_arm(config)
    if is_trained(arm):
        return arm.store
    # gold answers that the grader cannot use are refused before anything trains
    inputs.require_gradable(config, arm.inputs.prompts)
    with remove_if_refused(arm.store), hold_arm_lease(arm):
        if config.train.is_sharded:
            launch_ranks(config, arm.store)
        else:
            _train_with_ranks(arm)
        files.remove_path(arm.store.directory / FAILURE)
    return arm.store


def is_trained(arm: OpenArm) -> bool:
    """Tell whether an arm is complete; if it is, say so, and mend its settings."""
    is_done = arm.store.is_done()
    if is_done:
        mend_settings(arm.config, arm.store)
        say(f"train: complete, nothing to do ({arm.store.directory})")
    return is_done


def mend_settings(config: ExperimentConfig, store: Store) -> None:
    """Rewrite the `config.json` of a complete arm from `config` if the file cannot be read."""
    # a summary passes over an arm whose settings cannot be read
    if not is_readable(store):
        with store.held():
            files.remove_leftovers(store.directory, below=False)
            publish_settings(store, config)


def hold_arm_lease(arm: OpenArm) -> AbstractContextManager[None]:
    """Hold an arm's lease while it trains; with several nodes, hold nothing."""
    # with several nodes this command runs on each of them, and the first rank holds the lease
    return contextlib.nullcontext() if arm.config.train.nodes > 1 else arm.store.held()


def train_rank(config: ExperimentConfig, ranks: "Ranks") -> None:
    """Train an arm, or its current round, as one of its ranks; raise the error of training."""
    arm = open_arm(config)
    # on one node, the command that started the ranks holds the lease already
    with arm.store.held() if ranks.is_first else contextlib.nullcontext():
        ranks.wait()  # if another command holds the lease, no rank begins
        _train_rank(arm, ranks)


def _train_rank(arm: OpenArm, ranks: "Ranks") -> None:
    from asymreinforce.experiment import refresh
    from asymreinforce.experiment.earlier_rounds import earlier_rounds

    if not arm.config.refresh_every:
        _train_with_ranks(arm, ranks=ranks)
        return
    # the first rank looks, because another rank may see new files with a delay
    done = int(ranks.decided(lambda: refresh.current_round(arm).at or 0))
    round_ = refresh.round_at(arm, done)
    scored = refresh.find_round_rollouts(arm, round_)
    earlier = earlier_rounds(arm, round_, scored)
    arm = arm._replace(inputs=arm.inputs._replace(scored=scored))
    _train_with_ranks(arm, ranks=ranks, round_=round_, earlier=earlier)


def _train_with_ranks(
    arm: OpenArm,
    *,
    ranks: "Ranks | None" = None,
    round_: "Round | None" = None,
    earlier: "EarlierRounds | None" = None,
) -> None:
    from asymreinforce.stages.train import Training, train
    from asymreinforce.stages.train.replay import EarlierRounds
    from asymreinforce.update.ranks import ALONE

    ranks = ranks or ALONE
    with contextlib.ExitStack() as stack:
        validate, log = None, None
        if ranks.is_first:
            validate, log = stack.enter_context(open_validator_and_log(arm))
        elif arm.config.train.validation_prompts:
            validate = _only_the_first_rank_validates
        train(
            Training(arm.config, arm.store, validate, log, round_, earlier or EarlierRounds()),
            checkpoint=arm.inputs.checkpoint,
            scored=arm.inputs.scored,
            ranks=ranks,
        )


@contextlib.contextmanager
def open_validator_and_log(arm: OpenArm) -> Iterator[tuple["Validate | None", "Log"]]:
    """Yield the function that validates an arm's checkpoints and the log of its steps."""
    from asymreinforce.tracking import tracker

    with (
        tracker(arm.config, arm=arm.store.hash) as log,
        open_validator(arm.config, arm.inputs) as validate,
    ):
        yield validate, log


def _only_the_first_rank_validates(model: "PreTrainedModel", step: int) -> float:
    raise AssertionError("only the first rank validates")


def run_arm(
    config: ExperimentConfig, train: Callable[[ExperimentConfig], Store] = train_arm
) -> ArmResult:
    """Train an arm and return how training ended; a failure is written to the arm's directory."""
    try:
        store = train(config)
    except Exception as error:
        return record_failure(config, error)
    return ArmResult(store.directory, "", None)


def run_arms_side_by_side(configs: Sequence[ExperimentConfig]) -> list[ArmResult]:
    """Train the arms of one process side by side; return how the training of each arm ended."""
    from asymreinforce.stages.train import Training, train_side_by_side
    from asymreinforce.tracking import tracker

    try:
        # all arms have the inputs, seed and validation of the first (`side_by_side.py`)
        arm_inputs = inputs.find_inputs(configs[0])
        stores = [arm_store(config, arm_inputs) for config in configs]
        new_stores = [store for store in stores if not store.directory.exists()]
        with contextlib.ExitStack() as stack:
            held_positions, failed = _hold_free_leases(stores, stack)
            validate = stack.enter_context(open_validator(configs[0], arm_inputs))
            arms = [
                Training(
                    configs[n],
                    stores[n],
                    validate,
                    stack.enter_context(tracker(configs[n], arm=stores[n].hash)),
                )
                for n in held_positions
            ]
            errors = train_side_by_side(
                arms, checkpoint=arm_inputs.checkpoint, scored=arm_inputs.scored
            )
            failed |= {held_positions[position]: error for position, error in errors.items()}
    except Exception as error:
        return [record_failure(config, error) for config in configs]
    results = []
    for number, (config, store) in enumerate(zip(configs, stores, strict=True)):
        reason = failed.get(number)
        if reason is None:
            files.remove_path(store.directory / FAILURE)
            results.append(ArmResult(store.directory, "", None))
            continue
        # the plan and settings of a training that failed record what was tried, and are kept
        if store in new_stores and not isinstance(reason, TrainingError):
            remove_stage(store)
        results.append(record_failure(config, reason))
    return results


def _hold_free_leases(
    stores: Sequence[Store], stack: contextlib.ExitStack
) -> tuple[list[int], dict[int, Exception]]:
    """Hold each arm's lease that is free.

    Returns the numbers of the arms whose lease is held, and the error of each other arm.
    """
    held_positions: list[int] = []
    refused: dict[int, Exception] = {}
    for number, store in enumerate(stores):
        try:
            stack.enter_context(store.held())
            held_positions.append(number)
        except StorageError as error:
            refused[number] = error
    return held_positions, refused


def record_failure(config: ExperimentConfig, error: Exception) -> ArmResult:
    """Write an arm's failure to the arm's directory, and the traceback to a log file."""
    directory = arm_directory(config)
    # if the inputs cannot be found, the arm has no identity and so no directory
    with contextlib.suppress(Exception):
        directory = open_arm(config).store.directory
    log = config.directory / "logs" / f"arm-{directory.name}.log"
    text = str(error) if isinstance(error, AsymreinforceError) else repr(error)
    files.remove_leftovers(files.make_directory(log.parent))
    lines = "".join(traceback.format_exception(error))
    files.publish_bytes(log, lines.encode(errors="replace"))
    # an arm that another command holds has not failed
    if directory != arm_directory(config) and not isinstance(error, HeldError):
        files.remove_leftovers(files.make_directory(directory), below=False)
        publish_failure(directory, Failure(text, str(log)))
    return ArmResult(directory, text, log)

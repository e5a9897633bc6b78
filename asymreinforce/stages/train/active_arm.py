"""An arm in memory: the inputs of its training, and the objects that its steps call."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from asymreinforce.config import ExperimentConfig
from asymreinforce.data.arm_settings import publish_settings, remembered_rows
from asymreinforce.data.provenance import run_provenance
from asymreinforce.data.rollouts import ScoredRollouts
from asymreinforce.data.rows import Rows
from asymreinforce.data.store import Store
from asymreinforce.errors import DeviceMemoryError, TrainingError
from asymreinforce.progress import say
from asymreinforce.stages.train.audit import audit_start
from asymreinforce.stages.train.baseline import BaselineInForce
from asymreinforce.stages.train.checkpoints import Checkpoints, where_to_resume
from asymreinforce.stages.train.diagnostics import diagnostic_set, require_known_tokens
from asymreinforce.stages.train.monitors import Monitors, Validate
from asymreinforce.stages.train.objective import ArmObjective, RewardedRows
from asymreinforce.stages.train.policy import make_trainer
from asymreinforce.stages.train.replay import EarlierRounds, ReplayBuffer, is_replayed
from asymreinforce.stages.train.reporter import Reporter
from asymreinforce.stages.train.schedule import Round, Schedule, schedule_of
from asymreinforce.stages.train.shared_store import SharedStore
from asymreinforce.stages.train.warnings import publish_facts, warnings_on
from asymreinforce.update.memory import LogitsBuffer
from asymreinforce.update.packing import Sequences
from asymreinforce.update.ranks import Ranks
from asymreinforce.update.trainer import Trainer

Log = Callable[[dict[str, Any]], None]


class Training(NamedTuple):
    """The inputs of an arm's training: settings, store, validation, log, and round."""

    config: ExperimentConfig
    store: Store
    validate: Validate | None = None
    log: Log | None = None
    round: Round | None = None
    """The round to train now; None for all steps on one set of rollouts."""
    earlier: EarlierRounds = EarlierRounds()


@dataclasses.dataclass(frozen=True, kw_only=True)
class ActiveArm:
    """An arm in memory, loaded at the step from which training continues."""

    training: Training
    round: Round
    prompts_per_step: int
    objective: ArmObjective
    baseline: BaselineInForce
    trainer: Trainer
    monitors: Monitors
    checkpoints: Checkpoints
    reporter: Reporter
    replay: ReplayBuffer | None
    done: int
    """The number of steps that earlier runs took."""
    started: float
    """The time at which this run began with the arm, by the monotonic clock."""

    @property
    def steps(self) -> int:
        """The number of optimizer steps of the whole arm."""
        return self.checkpoints.schedule.steps

    @property
    def end(self) -> int:
        """The last step that this run takes."""
        return min(self.round.end, self.steps)

    def rewards(self, rows: Rows) -> RewardedRows:
        """Apply the reward scale to a step's verdicts; raise `InputError` for unknown tokens."""
        require_known_tokens(self.trainer.model, rows, checkpoint=self.checkpoints.behaviour_policy)
        return self.objective.rewards(rows)

    def log(self, step: int, metrics: dict[str, Any], sequences: Sequences) -> None:
        """Report a step to the tracker, if any, and to the reporter."""
        if self.training.log:
            self.training.log(metrics)
        self.reporter.after(
            step,
            metrics,
            steps=self.steps,
            tokens=sum(map(len, sequences.prompts)) + sum(map(len, sequences.completions)),
            is_checkpoint=step in self.checkpoints.schedule.checkpoints,
        )

    def explained(self, step: int, error: Exception) -> Exception:
        """Return the error of a step; name the last good checkpoint if the step is not finite."""
        if not isinstance(error, TrainingError) or isinstance(error, DeviceMemoryError):
            return error
        return TrainingError(
            f"step {step} of {self.steps} is not finite: {error}; the last good checkpoint is "
            f"{self.checkpoints.last_weights(before=step)}; lower optim.lr or optim.grad_clip, or "
            "look at the rewards"
        )

    def finish_if_complete(self) -> None:
        """Close the arm if its last step is taken, and print whether it collapsed."""
        if self.end != self.steps:
            return
        self.checkpoints.finish()
        self.reporter.ended("done")
        collapse = self.monitors.collapse
        if collapse.step is not None:
            name = label([self.training.config])
            say(f"{name}: collapsed at step {collapse.step}: {collapse.reason}")

    def record(self) -> None:
        """Write the provenance of this run: device, first step, duration and train settings."""
        train = self.training.config.train
        settings = train.model_dump(mode="json", include=set(train.beside_the_identity))
        self.checkpoints.store.record(
            run_provenance(
                seconds=time.monotonic() - self.started,
                from_step=self.done,
                device=train.device,
                ranks=self.trainer.ranks.count,
                # the row size in use, which is smaller than the setting if memory ran out
                train=settings | {"tokens_per_micro_batch": self.trainer.tokens_per_micro_batch},
            )
        )


def label(configs: Sequence[ExperimentConfig]) -> str:
    """Return a label for the arms of a process: objective, baselines and seed."""
    names = sorted({config.algorithm.name for config in configs})
    baselines = ",".join(map(_baseline_words, configs))
    return f"train {','.join(names)} baseline={baselines} seed={configs[0].seed}"


def _baseline_words(config: ExperimentConfig) -> str:
    kind = config.baseline_schedule
    return f"{config.baseline:g}" + ("" if kind == "constant" else f" ({kind})")


def start(
    training: Training, checkpoint: Path, scored: ScoredRollouts, ranks: Ranks, logits: LogitsBuffer
) -> ActiveArm | None:
    """Plan an arm and load it from its latest saved step; return None if it is complete.

    The latest saved step is an interrupted checkpoint, else the last full checkpoint, else mu.
    """
    started, config = time.monotonic(), training.config
    prompts_per_step = scored.prompts_per_step(config.optim.trajectories_per_step)
    round_ = training.round or Round(
        schedule_of(config, prompts=scored.prompts, prompts_per_step=prompts_per_step)
    )
    objective = ArmObjective(config, scored, means=training.earlier.means)
    store = _planned(training, round_.schedule, ranks)
    if ranks.decided(store.is_done):
        say(f"train: complete, nothing to do ({store.directory})")
        return None
    for warning in warnings_on(config, scored):
        say(f"warning: {warning}")
    if ranks.is_first:
        publish_settings(store, config)
        publish_facts(store, config, scored)
    source = where_to_resume(store, round_, ranks)
    trainer = make_trainer(
        config,
        checkpoint=checkpoint,
        weights=source.weights,
        policy=str(store.identity["policy"]),
        steps=round_.schedule.steps,
        # rows that were halved when memory ran out stay halved
        tokens=int(ranks.decided(lambda: remembered_rows(store, config) or 0)),
        ranks=ranks,
        logits=logits,
    )
    watched = diagnostic_set(config, scored, objective, trainer.model, checkpoint=checkpoint)
    monitors = Monitors(config, round_, trainer, watched=watched, validate=training.validate)
    baseline = BaselineInForce(config, is_measured=watched.is_from_policy)
    checkpoints = Checkpoints(
        config, store, round_, trainer, monitors, baseline, behaviour_policy=checkpoint
    )
    if source.state:
        checkpoints.restore(source)
    else:
        # the random state is saved with a checkpoint, and a new process has a random seed
        torch.manual_seed(config.seed)
        checkpoints.begin()
        audit_start(config, trainer, scored, store)
    return ActiveArm(
        training=training,
        round=round_,
        prompts_per_step=prompts_per_step,
        objective=objective,
        baseline=baseline,
        trainer=trainer,
        monitors=monitors,
        checkpoints=checkpoints,
        reporter=Reporter(
            store.directory,
            steps=checkpoints.schedule.steps,
            done=checkpoints.saved_step,
            is_first=ranks.is_first,
        ),
        replay=_replay_buffer(training, round_, objective, ranks),
        done=checkpoints.saved_step,
        started=started,
    )


def _replay_buffer(
    training: Training, round_: Round, objective: ArmObjective, ranks: Ranks
) -> ReplayBuffer | None:
    if not is_replayed(training.config, round_.schedule):
        return None
    return ReplayBuffer(
        training.config,
        round_,
        training.earlier.replayed,
        with_logps=objective.needs_behaviour_logps,
        ranks=ranks,
    )


def _planned(training: Training, schedule: Schedule, ranks: Ranks) -> Store:
    """Return the arm's store, shared by all ranks, with the arm's shards planned."""
    store = SharedStore(training.store, ranks) if ranks.count > 1 else training.store
    steps = schedule.steps
    # an arm that ended early, at its collapse, is complete with a shorter plan: keep that plan
    if not ranks.decided(lambda: store.facts.get("steps", steps) < steps):
        store.plan(schedule.shards)
    return store

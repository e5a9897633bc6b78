"""An arm: its identity, and its training from wherever it stands."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from asymreinforce.algorithm.table import identity
from asymreinforce.config import ExperimentConfig
from asymreinforce.data import contracts
from asymreinforce.data.arm_settings import publish_settings
from asymreinforce.data.provenance import provenance
from asymreinforce.data.rollouts import ScoredRollouts
from asymreinforce.data.rows import Rows
from asymreinforce.data.store import Store
from asymreinforce.errors import ConfigError
from asymreinforce.grading.graders import identify
from asymreinforce.interruption import patient
from asymreinforce.model.checkpoint import fingerprint
from asymreinforce.progress import bar, say
from asymreinforce.stages.train.run import Run, Validate
from asymreinforce.stages.train.schedule import PASSING, Round, schedule_of
from asymreinforce.stages.train.shared_store import SharedStore
from asymreinforce.update.head import Scratch
from asymreinforce.update.ranks import ALONE, Ranks

Log = Callable[[dict[str, Any]], None]

REWARD_SCALE = ("correct", "incorrect", "correct_at", "no_answer", "truncated", "unjudged")


def arm_store(
    config: ExperimentConfig,
    *,
    checkpoint: Path,
    scored: ScoredRollouts,
    parent: Path,
    prompts: Store | None = None,
) -> Store:
    """Return the store of an arm: everything that determines its weights is its identity.

    `prompts` hold what validation asks; of generated rollouts the identity covers them already.
    Raises `ConfigError` if the device or the precision is still left to the machine.
    """
    if "auto" in (config.train.device, config.train.precision):
        raise ConfigError(
            "train.device=auto and train.precision=auto name no arm; resolve them first "
            "(model/devices.py), or set cpu or cuda, float32 or bfloat16"
        )
    determined_by = {
        "stage": "train",
        "contract": contracts.METRICS.label,
        "policy": fingerprint(checkpoint, safetensors_only=config.policy.safetensors_only),
        **scored.fingerprint(),
        "samples_per_prompt": scored.samples,
        "baseline": config.baseline,
        "baseline_reference": config.baseline_reference,
        "seed": config.seed,
        "algorithm": identity(config.algorithm, baseline_reference=config.baseline_reference),
        "reward": config.reward.model_dump(mode="json", include=set(REWARD_SCALE)),
        "optim": config.optim.model_dump(mode="json") | {"steps": config.steps},
        "train": config.train.model_dump(
            mode="json", exclude=set(config.train.beside_the_identity)
        ),
        "validation": _validation(config, prompts) if config.train.validation_prompts else None,
    }
    schedule = schedule_of(
        config,
        prompts=scored.prompts,
        prompts_per_step=scored.prompts_per_step(config.optim.trajectories_per_step),
    )
    if schedule.refresh_every:
        determined_by["refresh_every"] = schedule.refresh_every
    return Store(parent, determined_by, passing=PASSING)


def _validation(config: ExperimentConfig, prompts: Store | None) -> dict[str, Any]:
    """Return what decides the accuracy that chooses an arm's best checkpoint.

    Rollouts from elsewhere know nothing of the prompts, the template and the grader of validation.
    """
    found: dict[str, Any] = config.evaluation.sampling.model_dump(mode="json")
    if config.is_foreign and prompts:
        found["prompts"] = prompts.fingerprint(["validation.parquet"])
        found["prompt"] = config.task.rendering
        found["grader"] = list(identify(config.task.grader))
        found["limits"] = [config.reward.time_limit_s, config.reward.memory_limit_mb]
    return found


class Arm(NamedTuple):
    """An arm to train: its settings, where it goes, and who is told of its steps."""

    config: ExperimentConfig
    store: Store
    validate: Validate | None = None
    log: Log | None = None
    round: Round | None = None
    """The stretch of its steps to train now; None for all of them, on one set of rollouts."""


def train(
    config: ExperimentConfig,
    *,
    checkpoint: Path,
    scored: ScoredRollouts,
    store: Store,
    validate: Validate | None = None,
    log: Log | None = None,
    ranks: Ranks = ALONE,
    round_: Round | None = None,
) -> None:
    """Train one arm into its store, or a round of it; a complete one is left alone.

    Each of several `ranks` calls this with the same arguments, but for `validate` and `log`, which
    only the first one's are used.

    Raises `ConfigError` for a device or an objective that is not there, `InputError` for rollouts
    or weights that do not fit, `TrainingError` where a step is not finite: the last good checkpoint
    stays, and the message names it.
    """
    arm = Arm(config, store, validate, log, round_)
    for error in train_together([arm], checkpoint=checkpoint, scored=scored, ranks=ranks).values():
        raise error


def train_together(
    arms: Sequence[Arm], *, checkpoint: Path, scored: ScoredRollouts, ranks: Ranks = ALONE
) -> dict[int, Exception]:
    """Train arms of one seed side by side: each step's rows are read once, and each takes its own.

    Every arm's bytes are those of training it alone. One that fails is left where it stands, and
    the others go on; what went wrong is returned by the arm's number. The arms share seed, rollouts
    and groups in a step.
    """
    if ranks.count > 1:
        scored = scored.shared_out(checked=ranks.is_first)
    failed: dict[int, Exception] = {}
    scratch = Scratch()
    active: dict[int, _Active] = {}
    for number, arm in enumerate(arms):
        try:
            started = _Active.start(arm, checkpoint, scored, ranks, scratch)
        except Exception as error:
            failed[number] = error
            continue
        if started:
            active[number] = started
    if not active:
        return failed
    some = next(iter(active.values()))
    first, last = (
        choose(getattr(one, name) for one in active.values())
        for choose, name in ((min, "done"), (max, "end"))
    )
    start = some.run.round.start
    batches = scored.batches(
        prompts=some.run.prompts_per_step,
        seed=None if start else some.arm.config.seed,  # a later round's prompts are laid in order
        start=first - start,
        with_logps=any(one.run.terms.needs_behaviour_logps for one in active.values()),
    )
    total = sum(one.steps for one in active.values())
    done = sum(one.done for one in active.values())
    try:
        with (
            bar(_label(active), total=total, unit="steps", done=done) as advance,
            patient() as is_asked_to_stop,
        ):
            for step, rows in zip(range(first + 1, last + 1), batches, strict=False):
                for number in [n for n, one in active.items() if one.done < step <= one.end]:
                    try:
                        active[number].step(step, rows)
                    except Exception as error:
                        failed[number] = error
                        active.pop(number).record(ranks)
                    advance(1)
                if is_asked_to_stop():
                    for one in active.values():
                        one.run.suspend(step)
                    break
                if not any(step < one.end for one in active.values()):
                    break  # all of them failed, or ended at their collapse
    finally:
        for one in active.values():
            one.record(ranks)
    for one in active.values():
        if one.end == one.steps:
            one.finish()
    return failed


@dataclass
class _Active:
    """An arm in memory, from the step that it goes on from."""

    arm: Arm
    run: Run
    store: Store
    done: int
    started: float

    @classmethod
    def start(
        cls,
        arm: Arm,
        checkpoint: Path,
        scored: ScoredRollouts,
        ranks: Ranks,
        scratch: Scratch,
    ) -> "_Active | None":
        """Plan the arm and load it; return None where it is complete."""
        store = SharedStore(arm.store, ranks) if ranks.count > 1 else arm.store
        run = Run(
            arm.config,
            checkpoint=checkpoint,
            scored=scored,
            store=store,
            validate=arm.validate,
            ranks=ranks,
            scratch=scratch,
            round_=arm.round,
        )
        steps = run.schedule.steps
        if not ranks.decided(lambda: store.facts.get("steps", steps) < steps):  # else ended early
            store.plan(run.schedule.shards)
        if ranks.decided(store.is_done):
            say(f"train: complete, nothing to do ({store.directory})")
            return None
        for warning in warnings_on(arm.config):
            say(f"warning: {warning}")
        started = time.monotonic()
        if ranks.is_first:
            publish_settings(store, arm.config)
        return cls(arm, run, store, run.restore(), started)

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole arm."""
        return self.run.schedule.steps

    @property
    def end(self) -> int:
        """The last step to take now."""
        return min(self.run.round.end, self.steps)

    def step(self, step: int, rows: Rows) -> None:
        """Take a step, and tell of it."""
        metrics = self.run.step(step, rows)
        if self.arm.log:
            self.arm.log(metrics)

    def finish(self) -> None:
        """Close the arm, and say so where it collapsed."""
        self.run.finish()
        collapse = self.run.collapse.state
        if collapse.step is not None:
            label = _label({0: self})
            say(f"{label}: collapsed at step {collapse.step}: {collapse.reason}")

    def record(self, ranks: Ranks) -> None:
        """Write down where and how long this run of the arm worked."""
        seconds = time.monotonic() - self.started
        train = self.arm.config.train
        self.store.record(
            provenance(
                seconds=seconds,
                from_step=self.done,
                device=train.device,
                ranks=ranks.count,
                train=train.model_dump(mode="json", include=set(train.beside_the_identity))
                | {"tokens_per_micro_batch": self.run.row_tokens},
            )
        )


def _label(active: dict[int, _Active]) -> str:
    configs = [one.arm.config for one in active.values()]
    names = sorted({config.algorithm.name for config in configs})
    baselines = ",".join(f"{config.baseline:g}" for config in configs)
    return f"train {','.join(names)} baseline={baselines} seed={configs[0].seed}"


def warnings_on(config: ExperimentConfig) -> list[str]:
    """Return what a user should know of settings that are allowed and seldom meant."""
    if config.is_foreign:
        return []
    if config.sampling.samples_per_prompt == 1 and config.baseline_reference == "group_mean":
        return [
            "a group of one sample is its own mean, so every advantage is -baseline; raise "
            "sampling.samples_per_prompt or use another baseline_reference"
        ]
    return []

"""One arm in memory, from restore to finish."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from asymreinforce.config import ExperimentConfig
from asymreinforce.data import contracts
from asymreinforce.data.arm_settings import remember_rows, remembered_rows
from asymreinforce.data.rollouts import ScoredRollouts
from asymreinforce.data.rows import Rows
from asymreinforce.data.store import Store
from asymreinforce.data.token_ids import largest_token
from asymreinforce.errors import DeviceMemoryError, InputError, TrainingError
from asymreinforce.model import adapters, cuda
from asymreinforce.model.checkpoint import (
    hollow_model,
    load_model,
    require_unchanged,
    save_model,
)
from asymreinforce.model.model_config import vocabulary_of
from asymreinforce.stages.train import interrupted
from asymreinforce.stages.train.audit import audit_start
from asymreinforce.stages.train.collapse_watch import CollapseWatch
from asymreinforce.stages.train.decoding import decoding
from asymreinforce.stages.train.schedule import (
    Round,
    metrics_shard,
    schedule_of,
    state_shard,
    weights_shard,
)
from asymreinforce.stages.train.terms import Judged, Terms
from asymreinforce.update.diagnostic_set import Slice, mean_of
from asymreinforce.update.head import Scratch
from asymreinforce.update.layers import checkpoint_activations, compile_layers
from asymreinforce.update.ranks import ALONE, Ranks
from asymreinforce.update.state import Position, load_state, save_state
from asymreinforce.update.trainable import require_gradients, require_trainable
from asymreinforce.update.trainer import Step, Trainer

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Validate = Callable[["PreTrainedModel", int], float]
"""(model, step) -> accuracy on validation prompts; chooses the best checkpoint, nothing else."""


class Run:
    """One arm in memory: the trainer, the fixed slice, and the metrics not yet published."""

    def __init__(
        self,
        config: ExperimentConfig,
        *,
        checkpoint: Path,
        scored: ScoredRollouts,
        store: Store,
        validate: Validate | None,
        ranks: Ranks = ALONE,
        scratch: Scratch | None = None,
        round_: Round | None = None,
    ):
        self._scratch = scratch or Scratch()
        self._config, self._checkpoint, self._ranks = config, checkpoint, ranks
        self._scored, self._store, self._validate = scored, store, validate
        self.prompts_per_step = scored.prompts_per_step(config.optim.trajectories_per_step)
        self.round = round_ or Round(
            schedule_of(config, prompts=scored.prompts, prompts_per_step=self.prompts_per_step)
        )
        self.schedule = self.round.schedule
        self._pending: list[dict[str, Any]] = []
        self._position = Position(0, None, None)
        self.terms = Terms(config, scored)
        self.collapse = CollapseWatch(config)
        self._trainer: Trainer
        self._rows_known: int
        self._slice: Slice
        self._behaviour_logps_B: Tensor

    def restore(self) -> int:
        """Load where the run was interrupted, or its last full checkpoint, or mu; return the step.

        Nothing is missing before a full checkpoint.
        """
        config = self._config
        if config.train.device == "cuda":
            cuda.require_device()
        torch.set_num_threads(config.train.threads)
        checkpoint = self.round.at
        if checkpoint is None:
            checkpoint = int(self._ranks.decided(lambda: self.schedule.resumable(self._store)))
        after = checkpoint
        step = int(self._ranks.decided(lambda: interrupted.saved_step(self._store, after=after)))
        source = interrupted.source(self._store, checkpoint=checkpoint, step=step)
        model = self._load(source.weights)
        self._trainer = Trainer(
            model if self._ranks.mesh else model.to(config.train.device),
            config.optim,
            tokens_per_micro_batch=self._remembered_rows() or config.train.tokens_per_micro_batch,
            autocast=config.train.precision == "bfloat16",
            attention=config.train.attention,
            ranks=self._ranks,
            cpu_offload=config.train.cpu_offload,
            scratch=self._scratch,
        )
        self._rows_known = self.row_tokens
        with self._trainer.scoring():
            require_trainable(self._trainer.scorer)
        require_gradients(self._trainer)
        if config.train.compile:
            compile_layers(self._trainer.model)
        self._slice = self._make_slice()
        if source.state:
            self._position, more = load_state(
                source.state, self._trainer, masters=self._has_masters
            )
            self._behaviour_logps_B = more["behaviour_logps"]
            self._pending = source.rows
            self.collapse.catch_up(self._store, self.schedule.until(step), more=source.rows)
            if step == self.round.start:
                self._refresh(step)
        else:
            self._start()
        self._end_here_where_collapsed(step)
        return step

    @property
    def _is_half(self) -> bool:
        """Whether the model computes in bfloat16, and checkpoints are rounded to it."""
        return self._config.train.precision == "bfloat16"

    @property
    def _has_masters(self) -> bool:
        """Whether the weights that train are finer than a checkpoint's; adapters stand in fp32."""
        return self._is_half and self._config.train.lora.rank is None

    @property
    def row_tokens(self) -> int:
        """The most tokens of a packed row: those of the settings, or fewer that fit the memory."""
        return self._trainer.tokens_per_micro_batch

    def _remembered_rows(self) -> int:
        """Return how long rows were in the end, when memory ran out; 0 if it never did."""
        return int(self._ranks.decided(lambda: remembered_rows(self._store, self._config) or 0))

    def _load(self, weights: Path | None) -> "PreTrainedModel":
        """Load the weights of a step, or mu: fp32 masters, or frozen ones with fp32 adapters."""
        config = self._config
        has_adapters = config.train.lora.rank is not None
        whole = weights or self._checkpoint
        half = has_adapters and self._is_half
        source = self._checkpoint if has_adapters else whole
        dtype = torch.bfloat16 if half else torch.float32
        trusted = config.policy.trust_remote_code
        is_sent = not self._ranks.is_first  # weights and adapters, by the first rank
        if source == self._checkpoint and not is_sent:
            require_unchanged(
                source,
                named=str(self._store.identity["policy"]),
                safetensors_only=config.policy.safetensors_only,
            )
        model = (
            hollow_model(source, dtype=dtype, trust_remote_code=trusted)
            if is_sent
            else load_model(
                source,
                dtype=dtype,
                trust_remote_code=trusted,
                safetensors_only=config.policy.safetensors_only,
            )
        )
        if has_adapters:
            adapters.attach(model, config.train.lora, seed=config.seed)
            if weights and not is_sent:
                adapters.restore(model, weights / adapters.ADAPTER)
        if config.train.activation_checkpointing:
            checkpoint_activations(model)
        return model

    def step(self, step: int, rows: Rows) -> dict[str, Any]:
        """Take one optimizer step on whole groups; publish a checkpoint where one is due."""
        self._require_known_tokens(rows)
        judged = self.terms.judged(rows)
        try:
            done = self._trainer.step(judged.sequences, self.terms.of(judged))
        except DeviceMemoryError:
            raise
        except TrainingError as error:
            raise TrainingError(self._where(step, str(error))) from None
        if self.row_tokens < self._rows_known:
            remember_rows(self._store, self._config, self.row_tokens)
            self._rows_known = self.row_tokens
        metrics = self._metrics(step, done, judged)
        if self._is_diagnosed(step):
            metrics |= self._diagnose()
        if step in self.schedule.lasting:
            metrics |= self._check(step)
        self.collapse.see(metrics)
        self._end_here_where_collapsed(step)
        self._pending.append(metrics)
        if step in self.schedule.checkpoints:
            self._publish(step)
        return metrics

    def suspend(self, step: int) -> None:
        """Publish where the run stands, unless it is at a checkpoint or has ended before."""
        if self._position.step >= min(step, self.schedule.steps):
            return
        self._position = self._position._replace(step=step)
        interrupted.save(
            self._store,
            after=max(self.schedule.until(step), default=0),
            step=step,
            weights=self._write_weights,
            state=self._write_state,
            metrics=self._write_metrics,
        )

    def finish(self) -> None:
        """Keep the best checkpoint, drop what retention does not keep, and close.

        The state of the last step is there until the arm is closed, to finish from once more, and
        stays only where `train.keep_state` puts it into the plan.
        """
        best = self._position.best_step
        steps = dict.fromkeys([self.schedule.steps, *([best] if best else [])])
        shards = [*self.schedule.shards, *(weights_shard(step) for step in steps)]
        if self._config.train.keep_state:
            shards += [state_shard(step) for step in steps]
        for step in self.schedule.checkpoints:
            if weights_shard(step) not in shards:
                self._store.drop(weights_shard(step))
            if step not in steps:
                self._store.drop(state_shard(step))
        self._store.replan(dict.fromkeys(shards))
        self._store.close(
            {
                "steps": self.schedule.steps,
                "best_step": best,
                "best_accuracy": self._position.best_accuracy,
                "collapse_step": self.collapse.state.step,
            }
        )

    def _end_here_where_collapsed(self, step: int) -> None:
        """Cut the schedule short, where the policy collapsed and is not to go on."""
        if self._config.train.on_collapse == "stop" and self._ranks.decided(self._has_collapsed):
            self.schedule = self.schedule._replace(steps=step)

    def _has_collapsed(self) -> bool:
        return self.collapse.state.step is not None

    def _metrics(self, step: int, done: Step, judged: Judged) -> dict[str, Any]:
        correct_B = judged.correct_B
        logps_B = torch.from_numpy(done.logps_B)
        computed_B = ~logps_B.isnan()
        return {
            "step": step,
            "staleness": step - self.round.start,
            "sequences": len(correct_B),
            "skipped_sequences": done.skipped,
            "loss": done.loss,
            "grad_norm": done.grad_norm,
            "lr": done.lr,
            "reward": mean_of(judged.reward_B),
            "logp_correct": mean_of(logps_B[computed_B & correct_B]),
            "logp_incorrect": mean_of(logps_B[computed_B & ~correct_B]),
        }

    def _start(self) -> None:
        """Measure log mu by the training model itself, so that KL(mu || pi) is 0 at step 0."""
        torch.manual_seed(self._config.seed)  # a fresh process has a random one, and it is saved
        measured = self._slice.measure(self._trainer)
        self._behaviour_logps_B = measured.logps_B
        audit_start(self._config, self._trainer, self._scored, self._store)
        self._pending = [
            _start_row(0) | self._slice.metrics(measured, measured.logps_B) | self._check(0)
        ]
        self.collapse.see(self._pending[0])

    def _refresh(self, step: int) -> None:
        """Start a round: mu is the policy as it stands, so KL(mu || pi) is 0 again.

        A round in which nothing is diagnosed needs no log mu of the slice.
        """
        if not any(self._is_diagnosed(s) for s in range(step + 1, self.round.end + 1)):
            return
        measured = self._slice.measure(self._trainer)
        self._behaviour_logps_B = measured.logps_B
        self._pending = [_start_row(step) | self._slice.metrics(measured, measured.logps_B)]
        self.collapse.see(self._pending[0])

    def _is_diagnosed(self, step: int) -> bool:
        return step % self._config.train.diagnostics_every == 0 or step == self.schedule.steps

    def _diagnose(self) -> dict[str, float | None]:
        measured = self._slice.measure(self._trainer)
        return self._slice.metrics(measured, self._behaviour_logps_B)

    def _check(self, step: int) -> dict[str, float]:
        """Validate, and remember the best step: the first of the highest accuracy."""
        if self._validate is None:
            return {}
        accuracy = self._accuracy(self._validate, step)
        best = self._position.best_accuracy
        if step and (best is None or accuracy > best):
            self._position = Position(step, step, accuracy)
        return {"validation_accuracy": accuracy}

    def _accuracy(self, validate: Validate, step: int) -> float:
        """Sample on the first rank, with a gathered model; the others wait for the number."""
        with decoding(self._trainer) as model:
            return self._ranks.decided(lambda: validate(model, step) if model is not None else 0.0)

    def _publish(self, step: int) -> None:
        """Publish metrics, weights and full state, then drop the states that are not needed."""
        self._position = self._position._replace(step=step)
        self._publish_missing(metrics_shard(step), self._write_metrics)
        self._publish_missing(weights_shard(step), self._write_weights)
        self._publish_missing(state_shard(step), self._write_state)
        self._pending = []
        self._store.drop(interrupted.INTERRUPTED)
        kept = self.schedule.kept_at(step)
        for earlier in [s for s in self.schedule.checkpoints if s < step]:
            is_best = earlier == self._position.best_step
            if not (is_best and self._config.train.keep_state):
                self._store.drop(state_shard(earlier))
            if not (is_best or earlier in kept):
                self._store.drop(weights_shard(earlier))

    def _publish_missing(self, name: str, write: Callable[[Path], None]) -> None:
        if not self._ranks.decided(lambda: self._store.is_valid(name)):
            self._store.publish(name, write)

    def _write_metrics(self, path: Path) -> None:
        names = contracts.METRICS.schema.names
        rows = {n: [row.get(n) for row in self._pending] for n in names}
        if self._ranks.is_first:
            table = contracts.table(contracts.METRICS, rows)
            contracts.write(path, contracts.METRICS, table, identity=self._store.hash)

    def _write_weights(self, path: Path) -> None:
        model = self._whole_model()
        if model is not None:
            dtype = torch.bfloat16 if self._is_half else None
            save_model(model, path, tokenizer_from=self._checkpoint, dtype=dtype)

    def _whole_model(self) -> "PreTrainedModel | None":
        return self._trainer.whole_model(dtype=torch.bfloat16 if self._has_masters else None)

    def _write_state(self, path: Path) -> None:
        more = {"behaviour_logps": self._behaviour_logps_B}
        save_state(path, self._trainer, self._position, more=more, masters=self._has_masters)

    def _make_slice(self) -> Slice:
        rows = self._scored.read(self._scored.chunks[0])
        starts = rows.group_starts
        rows = rows.take(np.arange(starts[min(self._config.train.slice_prompts, len(starts) - 1)]))
        self._require_known_tokens(rows)
        judged = self.terms.judged(rows)
        if not len(judged.reward_B):
            raise InputError(
                f"none of the {len(rows.prompts)} rollouts of the diagnostic slice was judged; see "
                "the counts that 'asymrl score' prints, raise reward.time_limit_s or "
                "train.slice_prompts, or set reward.unjudged=incorrect"
            )
        sampling = self._config.sampling
        return Slice(
            judged.sequences,
            correct_B=judged.correct_B.numpy(),
            is_from_policy=not self._config.is_foreign
            and sampling.temperature == 1
            and sampling.top_p == 1,
        )

    def _require_known_tokens(self, rows: Rows) -> None:
        vocabulary = vocabulary_of(self._trainer.model)
        largest = largest_token([*rows.prompts, *rows.completions])
        if largest >= vocabulary:
            raise InputError(
                f"{self._checkpoint}: knows {vocabulary} tokens, but the rollouts hold token "
                f"{largest}; they were made with another tokenizer, generate them with this one"
            )

    def _where(self, step: int, reason: str) -> str:
        last = max((s for s in self.schedule.kept_at(step - 1) if s < step), default=0)
        kept = self._store.directory / weights_shard(last) if last else self._checkpoint
        return (
            f"step {step} of {self.schedule.steps} is not finite: {reason}; the last good "
            f"checkpoint is {kept}; lower optim.lr or optim.grad_clip, or look at the rewards"
        )


def _start_row(step: int) -> dict[str, Any]:
    return {"step": step, "staleness": 0, "sequences": 0, "skipped_sequences": 0}

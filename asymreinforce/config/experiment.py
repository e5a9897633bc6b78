"""All settings of an experiment in one model: its sections, and the rules between them."""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import model_validator

from asymreinforce.config.left_open import filled
from asymreinforce.config.sections import (
    EMBEDDED_TASKS,
    IMPORTED,
    REFERENCES,
    ExperimentSections,
)

__all__ = ["EMBEDDED_TASKS", "IMPORTED", "REFERENCES", "ExperimentConfig"]


class ExperimentConfig(ExperimentSections):
    """All settings of an experiment; every command uses this model."""

    @model_validator(mode="before")
    @classmethod
    def settings_left_open_are_decided_by_others(cls, values: Any) -> Any:
        """Null settings get the values that `config/left_open.py` derives from other settings."""
        return filled(values) if isinstance(values, Mapping) else values

    @model_validator(mode="after")
    def there_are_questions(self) -> Self:
        """`task=imported` has no questions, so rollouts must be imported."""
        if self.task.loader == IMPORTED and self.questions_of("train") == "task":
            raise ValueError(
                "no questions are given: name a task (task=file task.path=FILE "
                "task.held_out=N, or task=gsm8k, math, ...), or rollouts that exist already "
                "(source.path=FILE)"
            )
        return self

    @model_validator(mode="after")
    def imported_rollouts_are_judged_on_their_own_questions(self) -> Self:
        """Imported rollouts are not evaluated on the embedded task's questions."""
        if self.task.loader not in EMBEDDED_TASKS or self.questions_of("train") == "task":
            return self
        embedded = [s for s in self.graded_questions if self.questions_of(s) == "task"]
        if embedded:
            raise ValueError(
                f"the rollouts are imported, but the {' and '.join(embedded)} questions would be "
                "the embedded task's. Hold imported questions back (source.held_out=N "
                "source.validation=N), or name questions of your own (task=file "
                "task.path=FILE task.held_out=N), or evaluate nothing "
                "(evaluation.prompts=0 train.validation_prompts=0)"
            )
        return self

    @model_validator(mode="after")
    def imported_verdicts_come_with_imported_rollouts(self) -> Self:
        """Only imported rollouts can have verdicts of the grader `imported`."""
        if IMPORTED in self.reward.graders and self.section_of_questions == "task":
            raise ValueError(
                f"reward.graders names {IMPORTED}, the verdicts that come with rollouts from "
                "elsewhere, and these are generated; name graders alone, or bring rollouts "
                "(source.path=FILE)"
            )
        return self

    @model_validator(mode="after")
    def rounds_are_the_steps(self) -> Self:
        """Rounds decide the number of steps, and need rollouts that can be generated again."""
        if self.rounds and self.optim.steps:
            raise ValueError(
                f"rounds={self.rounds} of refresh_every={self.refresh_every} steps are the steps "
                f"of an arm; set optim.steps=null, or leave rounds to optim.steps"
            )
        if self.refresh_every and self.source.path:
            raise ValueError(
                "refresh_every generates new rollouts, and source.path imports them; leave one of "
                "them null"
            )
        return self

    @model_validator(mode="after")
    def steps_hold_whole_groups(self) -> Self:
        """A step holds whole groups, because a group's mean is its reference."""
        if self.group_size and self.optim.trajectories_per_step % self.group_size:
            raise ValueError(
                f"optim.trajectories_per_step ({self.optim.trajectories_per_step}) must be a "
                f"multiple of sampling.samples_per_prompt ({self.group_size})"
            )
        return self

    @model_validator(mode="after")
    def what_rounds_hold_needs_rounds(self) -> Self:
        """Replay and `running_mean` use earlier rounds, so there must be rounds."""
        if self.baseline_reference == "running_mean" and not self.refresh_every:
            raise ValueError(
                "baseline_reference=running_mean is a mean over rounds, and there is one round: "
                "set refresh_every ('asymrl run'), or take baseline_reference=dataset_mean"
            )
        if self.replay.capacity and not self.refresh_every:
            raise ValueError(
                f"replay.capacity={self.replay.capacity} holds rollouts of earlier rounds, and "
                "there is one round: set refresh_every ('asymrl run'), or replay.capacity=0"
            )
        return self

    @model_validator(mode="after")
    def a_step_replays_no_more_than_is_held(self) -> Self:
        """A step replays at most as many groups as the buffer holds."""
        # the buffer holds the groups that `capacity` earlier rounds drew themselves
        if not (self.replay.capacity and self.refresh_every and self.group_size):
            return self
        fresh = self.fresh_prompts_per_step
        held = self.replay.capacity * self.refresh_every * fresh
        replayed = self.prompts_per_step - fresh
        if held < replayed:
            raise ValueError(
                f"a step would replay {replayed} groups, and replay.capacity="
                f"{self.replay.capacity} rounds of refresh_every={self.refresh_every} steps hold "
                f"{held}: raise replay.capacity or replay.fresh_share"
            )
        return self

    @model_validator(mode="after")
    def leave_one_out_needs_two_samples(self) -> Self:
        """A group of one sample has no mean without that sample."""
        if self.baseline_reference == "leave_one_out" and self.group_size == 1:
            raise ValueError("baseline_reference=leave_one_out needs sampling.samples_per_prompt>1")
        return self

    @model_validator(mode="after")
    def staleness_can_be_measured(self) -> Self:
        """Staleness can be measured only on rollouts that mu drew, untruncated."""
        if self.baseline_schedule != "staleness":
            return self
        is_imported = self.section_of_questions == "source"
        if is_imported or (self.sampling.temperature, self.sampling.top_p) != (1, 1):
            why = (
                "source.path brings rollouts from elsewhere"
                if is_imported
                else f"sampling.temperature={self.sampling.temperature:g} and "
                f"sampling.top_p={self.sampling.top_p:g} draw from another policy"
            )
            raise ValueError(
                f"baseline_schedule=staleness needs {self.baseline_measure}, which is measured on "
                f"rollouts that mu drew at temperature 1 and top-p 1 alone, and {why}; "
                "baseline_schedule=linear needs no measurement"
            )
        if not self.baseline_lowest <= self.baseline <= 0:
            raise ValueError(
                f"baseline={self.baseline:g} is where baseline_schedule=staleness starts, between "
                f"baseline_lowest={self.baseline_lowest:g} and 0"
            )
        return self

    @model_validator(mode="after")
    def checkpoints_are_chosen_on_questions_kept_back(self) -> Self:
        """If training chooses checkpoints by validation, there must be validation questions."""
        if self.train.validation_prompts and self.questions_of("validation") is None:
            kept = f"{self.section_of_questions}.validation"
            raise ValueError(
                f"train.validation_prompts={self.train.validation_prompts}, but {kept}=0: "
                f"set {kept} to keep training questions back, or "
                "train.validation_prompts=0 to choose no checkpoint"
            )
        return self

    @model_validator(mode="after")
    def completions_fit_the_context(self) -> Self:
        """`max_tokens` must be below the context, to leave room for the prompt."""
        longest = max(self.sampling.max_tokens, self.evaluation.sampling.max_tokens)
        if longest >= self.policy.context:
            raise ValueError(
                f"max_tokens ({longest}) must be below policy.context ({self.policy.context})"
            )
        for name, suite in self.evaluation.suites.items():
            if suite.sampling.max_tokens >= self.policy.context:
                raise ValueError(
                    f"evaluation.suites.{name}.sampling.max_tokens ({suite.sampling.max_tokens}) "
                    f"must be below policy.context ({self.policy.context})"
                )
        return self

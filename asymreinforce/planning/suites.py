"""Estimate the completions and tokens of an evaluation's suites, from the settings."""

from typing import NamedTuple

from asymreinforce.config import ExperimentConfig, SuiteConfig
from asymreinforce.config.task import Split, TaskConfig


class SuiteCost(NamedTuple):
    """The cost of one suite over all arms; None means unknown."""

    name: str
    prompts: int | None
    models: int | None
    """Checkpoints that are evaluated on the suite; mu counts once."""
    samples: int
    longest: int
    """Tokens of a completion: the mean from the settings, or the maximum."""

    @property
    def completions(self) -> int | None:
        """Completions of all models."""
        if self.prompts is None or self.models is None:
            return None
        return self.prompts * self.models * self.samples

    @property
    def tokens(self) -> int | None:
        """Tokens of all completions."""
        return None if self.completions is None else self.completions * self.longest


def suite_costs(
    config: ExperimentConfig, *, arms: int, checkpoints: int | None
) -> tuple[SuiteCost, ...]:
    """Return the cost of each suite if each arm keeps `checkpoints` checkpoints."""
    given = config.plan.completion_tokens
    costs = []
    for name, suite in config.evaluation.suites.items():
        each, sampling = checkpoints, suite.sampling
        if suite.checkpoints == "ends" and checkpoints is not None:
            # an arm's ends are its last checkpoint and, if it was validated, its best
            each = min(checkpoints, 2 if config.train.validation_prompts else 1)
        models = None if each is None else 1 + arms * each
        longest = min(given or sampling.max_tokens, sampling.max_tokens)
        prompts, samples = _prompts_of_suite(suite), sampling.samples_per_prompt
        costs.append(SuiteCost(name, prompts, models, samples, longest))
    return tuple(costs)


def _prompts_of_suite(suite: SuiteConfig) -> int | None:
    available = prompts_of(suite.task)[suite.split]
    return suite.prompts if available is None else min(available, suite.prompts or available)


def prompts_of(task: TaskConfig) -> dict[Split, int | None]:
    """Return the number of prompts of each split; None if the settings leave it open."""
    known = dict(task.rows)
    if task.division == "12000/500" and {"train", "held_out"} <= known.keys():
        known |= {"train": known["train"] + known["held_out"] - 500, "held_out": 500}
    kept_back = sum(getattr(task, s) or 0 for s in ("validation", "held_out") if s not in known)
    rest = known["train"] - kept_back if "train" in known else None
    return {
        "train": rest if task.train is None else task.train,
        "validation": known.get("validation") if task.validation is None else task.validation,
        "held_out": known.get("held_out") if task.held_out is None else task.held_out,
    }

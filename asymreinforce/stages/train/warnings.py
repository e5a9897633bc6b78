"""Warnings about an arm's settings and rollouts, before the arm trains."""

from asymreinforce.config import ExperimentConfig, RewardConfig
from asymreinforce.config.experiment import IMPORTED
from asymreinforce.data import files
from asymreinforce.data.rollouts import ScoredRollouts
from asymreinforce.data.store import Store
from asymreinforce.rewards.counts import ScoreFacts, VerdictCounts
from asymreinforce.rewards.scale import counting
from asymreinforce.rewards.warnings import FILE, RunFacts, of_verdicts, warnings
from asymreinforce.stages.train.schedule import schedule_of


def warnings_on(config: ExperimentConfig, scored: ScoredRollouts) -> list[str]:
    """Return warnings about settings that are seldom meant and rollouts that teach little."""
    return [*_of_settings(config), *warnings(run_facts(config, scored))]


OF_EQUAL_REWARDS = (
    "group_mean",
    "leave_one_out",
    "group_quantile",
    "length_weighted_mean",
    "minimum_variance",
    "limit_support",
)
"""References for which every advantage is -baseline in a group of equal rewards."""


def run_facts(config: ExperimentConfig, scored: ScoredRollouts) -> RunFacts:
    """Return the counts over an arm's rollouts and its number of steps, for warnings."""
    counted = _counted(scored, config.reward)
    prompts_per_step = scored.prompts_per_step(config.optim.trajectories_per_step)
    schedule = schedule_of(config, prompts=scored.prompts, prompts_per_step=prompts_per_step)
    # groups are counted by correctness, which decides rewards only if there are two of them
    are_two = config.reward.is_one_of_two
    facts = of_verdicts(counted, reward=config.reward, is_imported=scored.is_imported)
    return facts._replace(
        has_group_reference=are_two and config.baseline_reference in OF_EQUAL_REWARDS,
        prompts_per_step=prompts_per_step,
        steps=schedule.steps,
        checkpoint_every=config.train.checkpoint_every,
    )


def publish_facts(store: Store, config: ExperimentConfig, scored: ScoredRollouts) -> None:
    """Write the counts to the arm's directory, for its report."""
    files.publish_json(store.directory / FILE, run_facts(config, scored)._asdict())


_COUNTS: dict[object, ScoreFacts] = {}
"""Counts by verdicts and reward scale, cached because the arms of a process share them."""


def _counted(scored: ScoredRollouts, reward: RewardConfig) -> ScoreFacts:
    scale = counting(reward)
    key = (*scored.fingerprint().values(), scored.samples, *scale.values())
    if key not in _COUNTS:
        tally = VerdictCounts(reward)
        for verdicts in scored.verdict_columns():
            tally.add(verdicts)
        _COUNTS[key] = tally.facts(k=scored.samples or 1)
    return _COUNTS[key]


def _of_settings(config: ExperimentConfig) -> list[str]:
    lines = []
    if config.group_size == 1 and config.baseline_reference == "group_mean":
        lines.append(
            "a group of one sample is its own mean, so every advantage is -baseline; raise "
            "sampling.samples_per_prompt or use another baseline_reference"
        )
    graders, overlong = config.reward.graders, config.reward.overlong
    if graders and not {config.task.grader, IMPORTED} & set(graders):
        lines.append(
            f"no reward follows from task.grader={config.task.grader}, by which accuracy goes: "
            "name it among reward.graders, unless that is what you compare"
        )
    is_sampled = config.section_of_questions == "task"
    longest = config.sampling.max_tokens if is_sampled else None
    if overlong.max_tokens and longest and longest <= overlong.free_tokens:
        lines.append(
            f"reward.overlong begins beyond {overlong.free_tokens} tokens, and completions have at "
            f"most {longest} (sampling.max_tokens), so that the penalty has no effect: lower "
            "reward.overlong.max_tokens"
        )
    return lines

"""A pool of graders as the settings have it."""

from asymreinforce.config import RewardConfig
from asymreinforce.grading.pool.pool import GraderPool


def grader_pool(grader: str, reward: RewardConfig, *, workers: int | None = None) -> GraderPool:
    """Return a pool under the limits of `reward`; of `reward.workers`, or 1, unless `workers` says.

    Raises as `GraderPool` does.
    """
    return GraderPool(
        grader,
        workers=workers or reward.workers or 1,
        cpu_limit_s=reward.cpu_limit_s,
        reasoning=reward.reasoning,
        memory_limit_mb=reward.memory_limit_mb,
    )

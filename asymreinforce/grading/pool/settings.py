"""Build a pool of graders from the reward settings."""

from asymreinforce.config import RewardConfig
from asymreinforce.grading.pool.pool import GraderPool


def grader_pool(grader: str, reward: RewardConfig, *, workers: int | None = None) -> GraderPool:
    """Return a pool with the limits of `reward`; `workers` defaults to `reward.workers`, else to 1.

    Raises the errors of `GraderPool`.
    """
    return GraderPool(
        grader,
        workers=workers or reward.workers or 1,
        cpu_limit_s=reward.cpu_limit_s,
        reasoning=reward.reasoning,
        memory_limit_mb=reward.memory_limit_mb,
    )

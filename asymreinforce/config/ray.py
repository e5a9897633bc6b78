"""Where workers run that a stage shares its shards out to; no result depends on it."""

from pydantic import Field

from asymreinforce.config.settings import Settings


class RayConfig(Settings):
    """Workers on Ray: `engine.workers` of them generate, `ray.scorers` score."""

    address: str | None = Field(
        None,
        pattern=r"^(auto|local|(ray://)?\S+:\d+)$",
        description="'auto' or HOST:PORT joins a cluster, 'local' starts one here for the stage; "
        "null: Ray only where there is more than one worker, and then as 'local'",
    )
    gpus_per_worker: float | None = Field(
        None, ge=0, description="null for engine.tensor_parallel_size where the cluster has GPUs"
    )
    scorers: int = Field(
        0,
        ge=0,
        description="workers that score, reward.workers grader processes each; 0: this process",
    )
    tries: int = Field(
        4, ge=1, description="workers that a shard may lose before its stage gives up"
    )

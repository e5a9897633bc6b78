"""Settings of Ray, on whose workers stages run their shards; no result depends on them."""

from pydantic import Field

from asymreinforce.config.settings import Settings


class RayConfig(Settings):
    """Workers on Ray: `engine.workers` of them generate, `ray.scorers` score."""

    address: str | None = Field(
        None,
        pattern=r"^(auto|local|(ray://)?\S+:\d+)$",
        description="'auto' or HOST:PORT joins a cluster, 'local' starts one here for the stage; "
        "null: 'local' if there is more than one worker, else no Ray",
    )
    gpus_per_worker: float | None = Field(
        None, ge=0, description="null: engine.tensor_parallel_size if the cluster has GPUs"
    )
    scorers: int = Field(
        0,
        ge=0,
        description="workers that score, each with reward.workers grader processes; 0: score here",
    )
    tries: int = Field(
        4, ge=1, description="workers that may die on a shard before its stage fails"
    )

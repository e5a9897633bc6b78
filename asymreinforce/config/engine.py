"""Settings of the inference engine, and of Ray, on whose workers stages run their shards."""

from typing import Literal

from pydantic import Field

from asymreinforce.config.settings import Settings


class EngineConfig(Settings):
    """The inference engine."""

    name: Literal["vllm", "transformers"] = Field(description="inference library")
    threads: int = Field(
        1, ge=1, le=1024, description="CPU threads; part of the rollouts' identity"
    )
    workers: int = Field(1, ge=1, description="engines that generate in parallel, on Ray")
    max_sequences: int = Field(256, ge=1, description="sequences decoded at once")
    memory_gib: float = Field(1.0, gt=0, description="key/value cache on CPU, in GiB")
    gpu_memory_share: float = Field(
        0.9, gt=0, le=1, description="share of a GPU's memory that vLLM takes"
    )
    tensor_parallel_size: int = Field(1, ge=1, description="GPUs of one engine")
    eager: bool = Field(True, description="false: vLLM compiles the model, with CUDA graphs")


class RayConfig(Settings):
    """Workers on Ray: `engine.workers` of them generate, `ray.scorers` score.

    No result depends on these settings.
    """

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

"""Settings of the inference engine."""

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

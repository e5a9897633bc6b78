"""Assumptions of `asymrl plan` about machine and text; nothing else reads them."""

from pydantic import Field

from asymreinforce.config.settings import Settings


class PlanConfig(Settings):
    """Speeds and sizes for planning. Replace them by figures of your own logs if you have any."""

    gpu: str = Field("H100 SXM 80 GB", description="the GPU that the gpu_... settings describe")
    gpus: int = Field(8, ge=1, description="GPUs of the machine that trains the arms")
    gpu_memory_gib: float = Field(80.0, gt=0, description="memory of one GPU")
    gpu_tflops: float = Field(989.0, gt=0, description="dense bfloat16, from the data sheet")
    gpu_tb_per_s: float = Field(3.35, gt=0, description="memory bandwidth, from the data sheet")
    train_utilisation: float = Field(
        0.35, gt=0, le=1, description="share of gpu_tflops in training; a guess"
    )
    generate_utilisation: float = Field(
        0.5, gt=0, le=1, description="share of the bandwidth's limit in generation; a guess"
    )
    generate_step_ms: float = Field(
        4.0, ge=0, description="time of a decoding step besides memory reads; a guess"
    )
    engine_asleep_gib: float = Field(
        2.0, ge=0, description="memory of vLLM while rounds train (CUDA graphs, context); a guess"
    )
    train_tokens_per_s: float | None = Field(
        None, gt=0, description="tokens per second of one GPU, in place of the estimate"
    )
    generate_tokens_per_s: float | None = Field(
        None, gt=0, description="tokens per second of one GPU, in place of the estimate"
    )
    score_per_core_s: float = Field(
        40.0,
        gt=0,
        description="completions that a core grades per second (math-verify: 24 ms each)",
    )
    cores: int = Field(16, ge=1, description="cores that grade")
    prompt_tokens: int = Field(200, ge=1, description="mean length of a prompt; a guess")
    completion_tokens: int | None = Field(
        None, ge=1, description="mean length of a completion; null: sampling.max_tokens"
    )

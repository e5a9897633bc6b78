"""What `asymrl plan` assumes of the machine and of the text; nothing else reads it."""

from pydantic import Field

from asymreinforce.config.settings import Settings


class PlanConfig(Settings):
    """Speeds and sizes to plan with. Replace them by your own logs' where you have any."""

    gpu: str = Field("H100 SXM 80 GB", description="what the figures named gpu_... are of")
    gpus: int = Field(8, ge=1, description="of the machine that trains the arms")
    gpu_memory_gib: float = Field(80.0, gt=0, description="memory of one GPU")
    gpu_tflops: float = Field(989.0, gt=0, description="dense bfloat16, of the data sheet")
    gpu_tb_per_s: float = Field(3.35, gt=0, description="memory bandwidth, of the data sheet")
    train_utilisation: float = Field(
        0.35, gt=0, le=1, description="share of gpu_tflops in training; a guess"
    )
    generate_utilisation: float = Field(
        0.5, gt=0, le=1, description="share of the bandwidth's limit in generation; a guess"
    )
    generate_step_ms: float = Field(
        4.0, ge=0, description="of a decoding step beside reading memory; a guess"
    )
    engine_asleep_gib: float = Field(
        2.0, ge=0, description="what vLLM keeps while rounds train (CUDA graphs, context); a guess"
    )
    train_tokens_per_s: float | None = Field(
        None, gt=0, description="a GPU's, in place of the estimate"
    )
    generate_tokens_per_s: float | None = Field(
        None, gt=0, description="a GPU's, in place of the estimate"
    )
    score_per_core_s: float = Field(
        40.0, gt=0, description="completions a core judges; math-verify takes 24 ms in the mean"
    )
    cores: int = Field(16, ge=1, description="that judge")
    prompt_tokens: int = Field(200, ge=1, description="mean length of a prompt; a guess")
    completion_tokens: int | None = Field(
        None, ge=1, description="mean length of a completion; null for the longest there may be"
    )

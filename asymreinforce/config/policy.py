"""Settings of the behaviour policy, and of the embedded one's warm-up."""

from typing import Literal

from pydantic import Field

from asymreinforce.config.paths import HomeText
from asymreinforce.config.settings import Beta, Settings


class WarmUpConfig(Settings):
    """The supervised warm-up that makes the embedded behaviour policy out of a random start."""

    questions: int = Field(20_000, ge=1)
    steps: int = Field(450, ge=1)
    batch_size: int = Field(128, ge=1)
    lr: float = Field(3e-3, gt=0)
    lr_warmup_steps: int = Field(50, ge=0)
    betas: tuple[Beta, Beta] = (0.9, 0.98)
    weight_decay: float = Field(0.01, ge=0)
    worked_share: float = Field(0.2, ge=0, le=1, description="examples that show their working")
    early_worked_share: float = Field(0.5, ge=0, le=1, description="the same, at first")
    early_steps: int = Field(300, ge=0)


class EmbeddedConfig(Settings):
    """The embedded tiny Llama and its warm-up; used where `policy.source=embedded`."""

    vocabulary: int = Field(294, ge=258)
    layers: int = Field(2, ge=1)
    width: int = Field(96, ge=8)
    heads: int = Field(3, ge=1)
    intermediate: int = Field(240, ge=8)
    warm_up: WarmUpConfig = WarmUpConfig()


class PolicyConfig(Settings):
    """The behaviour policy mu, from which training starts as well."""

    source: HomeText = Field(
        "embedded", description="'embedded', a checkpoint directory, or a hub id"
    )
    revision: str | None = None
    seed: int = Field(0, description="seed of the embedded policy's warm-up")
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    context: int = Field(64, ge=8, description="longest prompt and completion together, in tokens")
    trust_remote_code: bool = Field(False, description="run code that comes with a checkpoint")
    safetensors_only: bool = Field(True, description="false: load pickled weights as well")
    parameters: int | None = Field(
        None, ge=1, description="of the model, for 'asymrl plan' where it cannot find them out"
    )
    embedded: EmbeddedConfig = EmbeddedConfig()

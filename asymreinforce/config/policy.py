"""Settings of the behaviour policy, and of the embedded one's warm-up."""

from typing import Literal

from pydantic import Field

from asymreinforce.config.paths import HomeText
from asymreinforce.config.settings import Beta, Settings


class WarmUpConfig(Settings):
    """The supervised warm-up that makes the embedded behaviour policy out of a random start."""

    questions: int = Field(20_000, ge=1, description="examples that are drawn")
    steps: int = Field(450, ge=1, description="optimizer steps")
    batch_size: int = Field(128, ge=1, description="examples of a step")
    lr: float = Field(3e-3, gt=0, description="largest learning rate")
    lr_warmup_steps: int = Field(
        50, ge=0, description="steps over which the learning rate rises to it"
    )
    betas: tuple[Beta, Beta] = Field((0.9, 0.98), description="decays of AdamW's moments")
    weight_decay: float = Field(0.01, ge=0, description="of AdamW")
    worked_share: float = Field(0.2, ge=0, le=1, description="examples that show their working")
    early_worked_share: float = Field(0.5, ge=0, le=1, description="the same, at first")
    early_steps: int = Field(300, ge=0, description="how many steps are at first")


class EmbeddedConfig(Settings):
    """The embedded tiny Llama and its warm-up; used where `policy.source=embedded`."""

    vocabulary: int = Field(294, ge=258, description="most tokens of its byte-level tokenizer")
    layers: int = Field(2, ge=1, description="transformer layers")
    width: int = Field(96, ge=8, description="size of the hidden states")
    heads: int = Field(3, ge=1, description="attention heads of a layer")
    intermediate: int = Field(240, ge=8, description="size of the hidden layer of an MLP")
    warm_up: WarmUpConfig = WarmUpConfig()


class PolicyConfig(Settings):
    """The behaviour policy mu, from which training starts as well."""

    source: HomeText = Field(
        "embedded", description="'embedded', a checkpoint directory, or a hub id"
    )
    revision: str | None = Field(None, description="commit, tag or branch of a hub id")
    seed: int = Field(0, description="seed of the embedded policy's warm-up")
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="of the weights that generate"
    )
    context: int = Field(64, ge=8, description="longest prompt and completion together, in tokens")
    trust_remote_code: bool = Field(False, description="run code that comes with a checkpoint")
    safetensors_only: bool = Field(True, description="false: load pickled weights as well")
    parameters: int | None = Field(
        None, ge=1, description="of the model, for 'asymrl plan' where it cannot find them out"
    )
    embedded: EmbeddedConfig = EmbeddedConfig()

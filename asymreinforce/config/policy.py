"""Settings of the behaviour policy, and of the embedded policy's warm-up."""

from typing import Literal

from pydantic import Field

from asymreinforce.config.settings import Beta, HomeText, Settings


class WarmUpConfig(Settings):
    """Supervised warm-up of the embedded behaviour policy, from random weights."""

    questions: int = Field(20_000, ge=1, description="number of examples")
    steps: int = Field(450, ge=1, description="optimizer steps")
    batch_size: int = Field(128, ge=1, description="examples per step")
    lr: float = Field(3e-3, gt=0, description="largest learning rate")
    lr_warmup_steps: int = Field(
        50, ge=0, description="steps over which the learning rate rises to `lr`"
    )
    betas: tuple[Beta, Beta] = Field((0.9, 0.98), description="decays of AdamW's moments")
    weight_decay: float = Field(0.01, ge=0, description="weight decay of AdamW")
    worked_share: float = Field(0.2, ge=0, le=1, description="share of worked answers")
    early_worked_share: float = Field(0.5, ge=0, le=1, description="worked_share of early steps")
    early_steps: int = Field(300, ge=0, description="number of early steps")


class EmbeddedConfig(Settings):
    """The embedded tiny Llama and its warm-up, for `policy.source=embedded`."""

    vocabulary: int = Field(294, ge=258, description="most tokens of its byte-level tokenizer")
    layers: int = Field(2, ge=1, description="transformer layers")
    width: int = Field(96, ge=8, description="size of the hidden states")
    heads: int = Field(3, ge=1, description="attention heads of a layer")
    intermediate: int = Field(240, ge=8, description="size of the hidden layer of an MLP")
    warm_up: WarmUpConfig = WarmUpConfig()


class PolicyConfig(Settings):
    """The behaviour policy mu, from which training also starts."""

    source: HomeText = Field(
        "embedded", description="'embedded', a checkpoint directory, or a hub id"
    )
    revision: str | None = Field(None, description="commit, tag or branch of a hub id")
    seed: int = Field(0, description="seed of the embedded policy's warm-up")
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="dtype of the weights in generation"
    )
    context: int = Field(64, ge=8, description="longest prompt and completion together, in tokens")
    trust_remote_code: bool = Field(False, description="run code that comes with a checkpoint")
    safetensors_only: bool = Field(True, description="false: load pickled weights as well")
    parameters: int | None = Field(
        None, ge=1, description="number of parameters, if 'asymrl plan' cannot find it out"
    )
    embedded: EmbeddedConfig = EmbeddedConfig()

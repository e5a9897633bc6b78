"""Settings of training: the objective, the optimizer, adapters, devices and ranks."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from asymreinforce.config.settings import Beta, Settings, Share

DroppedGroups = Literal["none", "all_right", "all_wrong", "equal"]


class AlgorithmConfig(Settings):
    """The objective; `baseline` and `baseline_reference` are at the top level.

    A null option has the objective's own default. An option that the objective does not use is an
    error.
    """

    name: str = Field(
        "asymre",
        description="a name in algorithm/table.py; linear or ratio for your own `function`",
    )
    function: str | None = Field(
        None,
        description="module:function of algorithm=linear or ratio (tutorials/own-objective.md)",
    )
    aggregation: Literal["sequence_sum", "token_mean", "sequence_mean"] = Field(
        "sequence_sum",
        description="tokens' losses are summed over a completion, averaged over all tokens of a "
        "step, or averaged over each completion",
    )
    drop_groups: DroppedGroups = Field(
        "none", description="groups that get weight 0: all right, all wrong, or equal rewards"
    )
    kept_shares: tuple[Share, Share] | None = Field(
        None,
        description="[low, high]: groups whose share of correct samples lies outside get weight 0",
    )
    clip_low: float | None = Field(
        None, ge=0, le=1, description="ratios are clipped at 1 - clip_low"
    )
    clip_high: float | None = Field(None, ge=0, description="ratios are clipped at 1 + clip_high")
    weight_limit: float | None = Field(None, gt=0, description="largest importance weight")
    tau: float | None = Field(None, ge=0, description="strength of the pull towards mu")
    kl_coefficient: float | None = Field(None, ge=0, description="weight of KL(pi || mu)")
    positive_weight: float | None = Field(None, ge=0, description="w+, weight of advantages > 0")
    negative_weight: float | None = Field(None, ge=0, description="w-, weight of advantages < 0")
    imitation: float | None = Field(
        None, description="beta, added to the coefficient of every completion"
    )

    positive_power: float | None = Field(None, ge=0, description="VESPO's k if advantage >= 0")
    positive_decay: float | None = Field(None, ge=0, description="VESPO's lambda if advantage >= 0")
    negative_power: float | None = Field(None, ge=0, description="VESPO's k if advantage < 0")
    negative_decay: float | None = Field(None, ge=0, description="VESPO's lambda if advantage < 0")
    likelihood_floor: float | None = Field(
        None, gt=0, description="NFT: least likelihood ratio of the policy of wrong answers"
    )
    second_moment_limit: float | None = Field(
        None, gt=0, description="M2PO: largest mean of (log pi/mu)^2 over a step's kept tokens"
    )

    @model_validator(mode="after")
    def kept_shares_are_in_order(self) -> Self:
        """`kept_shares` is [low, high] with low <= high."""
        if self.kept_shares and self.kept_shares[0] > self.kept_shares[1]:
            raise ValueError("algorithm.kept_shares is [low, high], with low at most high")
        return self

    @property
    def options(self) -> dict[str, float]:
        """The options that are not null."""
        own = {"name", "aggregation", "function", "drop_groups", "kept_shares"}
        return self.model_dump(exclude=own, exclude_none=True)


class OptimConfig(Settings):
    """The optimizer, AdamW. The learning rate rises linearly to `lr`, and then may decay."""

    lr: float = Field(gt=0, description="learning rate")
    betas: tuple[Beta, Beta] = Field((0.9, 0.95), description="decays of AdamW's moments")
    eps: float = Field(1e-8, gt=0, description="epsilon of AdamW")
    weight_decay: float = Field(0.0, ge=0, description="weight decay of AdamW")
    grad_clip: float = Field(1.0, gt=0, description="largest norm of the gradient")
    warmup_steps: int = Field(
        0, ge=0, description="steps over which the learning rate rises to `lr`"
    )
    schedule: Literal["constant", "linear", "cosine"] = Field(
        "constant",
        description="learning rate after the warm-up, over the arm's steps in all rounds "
        "(docs/guides/schedules.md)",
    )
    # LLaMA's value (Touvron et al. 2023, arXiv 2302.13971, Sec. 2.3)
    final_lr_share: float = Field(
        0.1, ge=0, le=1, description="share of `lr` at the last step, for linear and cosine"
    )
    trajectories_per_step: int = Field(
        ge=1, description="completions of an optimizer step, in whole groups"
    )
    steps: int | None = Field(None, ge=1, description="optimizer steps; null: from `epochs`")
    epochs: int = Field(1, ge=1, description="number of passes over the rollouts")

    @property
    def identity(self) -> dict[str, Any]:
        """The settings that determine an arm."""
        # a constant learning rate is older than the setting `schedule`: arms keep their names
        unused = {"schedule", "final_lr_share"} if self.schedule == "constant" else set()
        return self.model_dump(mode="json", exclude=unused)


class LoraConfig(Settings):
    """Low-rank adapters in place of all weights."""

    rank: int | None = Field(None, ge=1, le=4096, description="null trains all weights")
    alpha: int | None = Field(
        None, ge=1, le=1_000_000, description="scale, W + alpha/rank BA; null: 2 rank"
    )
    target_modules: str | tuple[str, ...] = Field(
        "all-linear", description="names of layers, such as [q_proj,v_proj]"
    )


RANKS = frozenset({"processes", "nodes", "rendezvous", "sharding", "cpu_offload"})
"""Settings of `train` that say where an arm trains; its curve does not depend on them."""
KEPT = frozenset({"keep_checkpoints", "keep_state", "audit_rollouts"})
"""Settings of `train` that decide which files are written and kept."""
SAME_GRADIENT = frozenset(
    {"tokens_per_micro_batch", "activation_checkpointing", "attention", "compile", "threads"}
)
"""Settings of `train` that say how a gradient is computed; its value differs only by rounding."""


class TrainConfig(Settings):
    """Settings of training besides the update: device, checkpoints, diagnostics."""

    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="auto: cuda if torch shows a device, else cpu"
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="forward pass; auto: bfloat16 on CUDA if supported, else float32"
    )
    threads: int = Field(1, ge=1, le=1024, description="CPU threads of one arm")
    attention: Literal["auto", "varlen", "sdpa"] = Field(
        "auto", description="auto: varlen on CUDA in half precision, else sdpa"
    )
    tokens_per_micro_batch: int | None = Field(
        None, ge=1, description="most tokens of a packed row; null: 1,024 on CPU, 16,384 on CUDA"
    )
    lora: LoraConfig = LoraConfig()
    activation_checkpointing: bool = Field(
        False, description="keep only each layer's input, and compute each layer twice"
    )
    compile: bool = Field(False, description="torch.compile each layer")
    checkpoint_every: int = Field(30, ge=1, description="steps between checkpoints")
    keep_checkpoints: int | None = Field(
        None, ge=1, description="latest checkpoints to keep; null: all, for evaluation by step"
    )
    keep_state: bool = Field(
        False, description="keep a finished arm's optimizer state, of the last and the best step"
    )
    diagnostics_every: int = Field(10, ge=1, description="steps between diagnostics")
    slice_prompts: int = Field(64, ge=1, description="prompts of the fixed diagnostic set")
    validation_prompts: int = Field(
        0, ge=0, description="prompts that choose the best checkpoint; null: all, at most 100"
    )
    audit_rollouts: int = Field(
        256, ge=0, description="rollouts of the mismatch audit; 0: no audit"
    )
    on_collapse: Literal["stop", "continue"] = Field(
        "continue", description="stop: end an arm that collapses (rule: algorithm/collapse.py)"
    )
    processes: int = Field(
        1, ge=1, description="ranks of a node, one device each, started by torchrun"
    )
    nodes: int = Field(1, ge=1, description="machines that train one arm together")
    rendezvous: str | None = Field(None, pattern=r"^\S+:\d+$", description="first node's HOST:PORT")
    sharding: Literal["all", "node"] = Field(
        "all", description="shard over all ranks, or over the ranks of each node"
    )
    cpu_offload: bool = Field(False, description="keep weights and moments on the host")

    @property
    def beside_the_identity(self) -> frozenset[str]:
        """Settings that may change without making another arm: the arm continues training."""
        # on CUDA results need not be equal bit for bit, so the way to compute a gradient may change
        return RANKS | KEPT | (SAME_GRADIENT if self.device == "cuda" else frozenset())

    @property
    def is_sharded(self) -> bool:
        """Whether weights, gradient and moments are sharded over ranks (one rank if offloaded)."""
        return self.processes * self.nodes > 1 or self.cpu_offload

    @model_validator(mode="after")
    def nodes_meet_somewhere(self) -> Self:
        """Several nodes need one address at which they meet."""
        if self.nodes > 1 and not self.rendezvous:
            raise ValueError("train.nodes>1 needs train.rendezvous=HOST:PORT of the first node")
        return self

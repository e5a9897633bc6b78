"""Training in bf16 over fp32 masters, through a stand-in that keeps the CUDA kernel's rules."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from asymreinforce.algorithm.kinds import Ratio
from asymreinforce.algorithm.table import objective_of
from asymreinforce.config import AlgorithmConfig, LoraConfig, OptimConfig
from asymreinforce.errors import ConfigError
from asymreinforce.model import adapters
from asymreinforce.update import attention
from asymreinforce.update.layers import checkpoint_activations
from asymreinforce.update.log_probs import Scorer
from asymreinforce.update.loss_inputs import RatioInputs
from asymreinforce.update.trainable import require_trainable
from asymreinforce.update.trainer import Trainer
from tests.fixtures import flash_kernel
from tests.fixtures import slow_trainer as naive
from tests.update.test_log_probs import made

LoRA = LoraConfig(rank=4)


@pytest.fixture
def as_on_cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Choose attention as for a CUDA device, and refuse what its kernel refuses."""
    choose = attention.choose

    def chosen(name: attention.Name, device: torch.device, *rest: Any, **more: Any) -> str:
        return choose(name, torch.device("cuda"), *rest, **more)

    monkeypatch.setattr(attention, "choose", chosen)
    with flash_kernel.in_place_of_cuda():
        yield


def adapted(model: Any) -> Any:
    model = model.to(torch.bfloat16)  # frozen weights are held in the precision of the forward pass
    adapters.attach_adapters(model, LoRA, seed=0)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:  # zero at the start, which would leave A without a gradient
            torch.nn.init.normal_(parameter, std=0.05)
    return model


def checkpointed(model: Any) -> Any:
    checkpoint_activations(model)
    return model


KINDS: dict[str, Callable[[], Any]] = {
    "llama": lambda: made(LlamaConfig, LlamaForCausalLM),
    "qwen2, tied": lambda: made(Qwen2Config, Qwen2ForCausalLM, tie_word_embeddings=True),
    "qwen3": lambda: made(Qwen3Config, Qwen3ForCausalLM),
    "mistral, window of 5": lambda: made(MistralConfig, MistralForCausalLM, sliding_window=5),
    "llama with adapters": lambda: adapted(made(LlamaConfig, LlamaForCausalLM)),
    "qwen3 with recomputed activations": lambda: checkpointed(made(Qwen3Config, Qwen3ForCausalLM)),
}


def step(model: Any, terms: Tensor | RatioInputs, *, autocast: bool) -> tuple[Any, Tensor]:
    """Take a step on twelve sequences; return its figures and the gradient of what trains."""
    optim = OptimConfig(lr=1e-3, trajectories_per_step=1, grad_clip=naive.UNCLIPPED)
    trainer = Trainer(model.train(), optim, autocast=autocast, tokens_per_micro_batch=60)
    require_trainable(trainer.scorer)
    done = trainer.step(naive.sequences(5, groups=4, samples=3, longest=30), terms)
    return done, torch.cat([p.grad.flatten().float() for p in trainer.parameters])  # type: ignore[union-attr]


def ratio_inputs() -> RatioInputs:
    objective = objective_of(AlgorithmConfig(name="grpo"), baseline_reference="group_mean")
    assert isinstance(objective, Ratio)
    completions = naive.sequences(5, groups=4, samples=3, longest=30).completions
    behaviour = [torch.full((len(y),), -5.0).numpy() for y in completions]
    return RatioInputs(objective.loss, torch.linspace(-1, 1, 12), torch.ones(12), behaviour)


@pytest.mark.parametrize(
    "terms", [torch.linspace(-1, 1, 12), ratio_inputs()], ids=["linear", "ratio"]
)
@pytest.mark.parametrize("kind", KINDS)
def test_a_step_under_autocast_goes_through_the_kernel_and_is_within_its_rounding(
    kind: str, terms: Tensor | RatioInputs, as_on_cuda: None
) -> None:
    in_half, found = step(KINDS[kind](), terms, autocast=True)
    exact, wanted = step(KINDS[kind]().float(), terms, autocast=False)
    assert float((found - wanted).norm() / wanted.norm()) < 0.03
    assert in_half.logps_B == pytest.approx(exact.logps_B, rel=0.01)


def test_the_log_probabilities_do_not_round_as_logits_in_bf16_would(as_on_cuda: None) -> None:
    """A head that rounds its logits is off by as much as all of the body, on each token."""
    model = made(LlamaConfig, LlamaForCausalLM).train()
    with torch.no_grad():
        model.lm_head.weight *= 40  # logits of about 20, as a pretrained model has them
    row = next(iter(_rows()))
    hidden: list[Tensor] = []
    scorer = Scorer(model, autocast=True)
    with torch.no_grad():
        handle = model.model.norm.register_forward_hook(lambda m, i, out: hidden.append(out))
        found_C = scorer.scores(row).logps_C
        handle.remove()
    hidden_CD = hidden[0][0].index_select(0, row.predictors_C).to(torch.bfloat16)
    weight_VD = model.lm_head.weight.to(torch.bfloat16)
    logits_CV = hidden_CD.double() @ weight_VD.double().T
    wanted_C = logits_CV.log_softmax(-1).gather(1, row.targets_C[:, None])[:, 0]
    rounded_C = (
        logits_CV.bfloat16().double().log_softmax(-1).gather(1, row.targets_C[:, None])[:, 0]
    )
    assert float((rounded_C - wanted_C).detach().abs().mean()) > 0.01
    assert float((found_C.double() - wanted_C).detach().abs().max()) < 1e-4


def _rows() -> Any:
    from asymreinforce.update.packing import pack_rows

    return pack_rows(naive.sequences(5, groups=4, samples=3, longest=30), tokens=1000)


def test_whatever_a_model_s_probe_raises_is_one_error_with_its_reason() -> None:
    model = made(LlamaConfig, LlamaForCausalLM)

    def forward(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("the kernel takes no such thing\nand more")

    model.model.layers[0].mlp.forward = forward
    with pytest.raises(ConfigError, match=r"LlamaForCausalLM .*RuntimeError: the kernel takes no"):
        require_trainable(Scorer(model))

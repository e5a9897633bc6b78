"""Check that packed training reproduces a model and reaches every weight that should train.

Some architectures scale or cap their logits after the head, have their own attention, or draw
random numbers. `require_trainable` compares packed training with the model's own forward.
`require_gradients` runs one backward pass. `require_trainable_checkpoint` runs both checks on a
small model of a checkpoint's architecture, before any rollouts are generated.
"""

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from asymreinforce.config import ExperimentConfig
from asymreinforce.errors import AsymreinforceError, ConfigError
from asymreinforce.model import adapters
from asymreinforce.model.checkpoint import quiet_transformers
from asymreinforce.model.model_config import of_model, vocabulary_of
from asymreinforce.update.attention import packed_attention
from asymreinforce.update.layers import checkpoint_activations, in_evaluation_mode
from asymreinforce.update.log_probs import Scorer
from asymreinforce.update.memory import halving_rows
from asymreinforce.update.packing import Sequences, pack_rows
from asymreinforce.update.trainer import Trainer

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LONGEST = 256
"""Tokens of the longer of the two sequences on which a model is compared with its own forward."""
SHORT = 64
"""`LONGEST` for checks of the architecture only: the layers of an 8B model take a few seconds on
CPU."""
FEWEST_EQUAL = {torch.float32: 1.0, torch.bfloat16: 0.99, torch.float16: 0.99}
"""The share of tokens that must agree: in half precision a router may choose another expert."""
EXPERT = re.compile(r"\bexperts\.\d+\.")
"""Matches names of expert weights, which only the tokens that are routed to them reach."""
SMALL = {"vocab_size": 512, "intermediate_size": 128, "moe_intermediate_size": 128}
"""Sizes of a small model: sizes that no other setting of the model depends on."""


@torch.no_grad()
def require_trainable(
    scorer: Scorer, *, context: int | None = None, longest: int = LONGEST
) -> None:
    """Raise `ConfigError` if packed training does not reproduce a model.

    On two completions of one prompt, the longer with `longest` tokens, packed training must return
    the same log-probabilities twice, and they must equal those of the model's own forward in
    evaluation mode. `context` is the most tokens of a sequence of the run, None for the model's
    limit.
    """
    model = scorer.model
    _require_steady_positions(model, context)
    sequences = _probe_sequences(model, longest)
    (row,) = pack_rows(sequences, tokens=2 * longest)
    found_C, again_C = (
        _run_model_code(scorer, lambda: scorer.scores(row).logps_C.float()) for _ in range(2)
    )
    half = scorer.precision in (torch.bfloat16, torch.float16)
    with in_evaluation_mode(model), torch.autocast(model.device.type, torch.bfloat16, enabled=half):
        expected_C = _run_model_code(scorer, lambda: _own_logps(model, sequences))
        plain = _run_model_code(scorer, lambda: _has_plain_head(model, sequences.prompts[0]))
    tolerance = 0.1 if half else 1e-3
    fault = None
    if not plain:
        fault = "scales or caps its logits"
    elif float((found_C - again_C).abs().mean()) > tolerance / 10:
        fault = "draws random numbers (dropout, noise of a router)"
    else:
        equal_C = torch.isclose(found_C, expected_C, rtol=tolerance, atol=tolerance)
        if float(equal_C.float().mean()) < FEWEST_EQUAL.get(scorer.precision, 1.0):
            fault = "attends in a way of its own or drops activations"
    if fault:
        raise ConfigError(
            f"{type(model).__name__} {fault}, which packed training does not reproduce; "
            "use another model"
        )


def _require_steady_positions(model: "PreTrainedModel", context: int | None) -> None:
    """Raise `ConfigError` if long sequences of a row could change each other's positions."""
    # such models encode positions by the input's length: for a row, that of its longest sequence
    declared = of_model(model)
    longest = min(filter(None, [context, declared.context]), default=None)
    if declared.steady and (longest is None or longest > declared.steady):
        raise ConfigError(
            f"{type(model).__name__} encodes positions by the length of the whole input beyond "
            f"{declared.steady} tokens (its rope_type), which packed training does not reproduce; "
            f"set policy.context to {declared.steady} or less"
        )


def require_gradients(trainer: Trainer) -> None:
    """Raise `ConfigError` if a parameter of the optimizer never gets a gradient.

    Such a parameter would not train, or would only shrink by weight decay. Every rank must call.
    """
    unreached = _unreached_parameters(trainer, _probe_sequences(trainer.model, SHORT))
    absent = [name for name in unreached if not EXPERT.search(name)]
    if absent:
        shown = ", ".join(absent[:3]) + (f" and {len(absent) - 3} more" if absent[3:] else "")
        raise ConfigError(
            f"{type(trainer.model).__name__}: training on text never reaches {shown}; train "
            "adapters beside them: train.lora.rank, with train.lora.target_modules that leave them "
            "out"
        )


@halving_rows
def _unreached_parameters(trainer: Trainer, batch: Sequences) -> list[str]:
    """Return the names of trained parameters that the gradient of a batch does not reach."""
    trainer.optimizer.zero_grad()
    for row in trainer.rows(batch):
        with packed_attention(trainer.model):
            gradient = trainer.scorer(row, torch.ones(len(row.targets_C)))
            gradient.finish()
    named = trainer.model.named_parameters()
    names = [name for name, p in named if p.requires_grad and p.grad is None]
    trainer.optimizer.zero_grad()
    return names


def require_trainable_checkpoint(checkpoint: Path, config: ExperimentConfig) -> None:
    """Raise `ConfigError` if a checkpoint's architecture cannot be trained under the settings.

    Only `config.json` is read; the check runs on CPU with a small model of the architecture. The
    check is skipped if no small model can be made or torch is not installed: training checks again.
    """
    needed = ["torch", "transformers", *(["peft"] if config.train.lora.rank else [])]
    if any(importlib.util.find_spec(name) is None for name in needed):
        return
    with torch.random.fork_rng(devices=[]), quiet_transformers():
        torch.manual_seed(0)
        try:
            model = small_model(checkpoint, trust_remote_code=config.policy.trust_remote_code)
        except Exception:  # a model's own code may raise anything for unusual sizes
            return
        if config.train.lora.rank:
            adapters.attach_adapters(model, config.train.lora, seed=0)
        if config.train.activation_checkpointing:
            checkpoint_activations(model)
        trainer = Trainer(model, config.optim, steps=1, attention="sdpa")
        require_trainable(trainer.scorer, context=config.policy.context, longest=SHORT)
        require_gradients(trainer)


def small_model(checkpoint: Path, *, trust_remote_code: bool) -> "PreTrainedModel":
    """Make a model with random weights, each kind of layer of a checkpoint's, and few tokens."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(checkpoint, trust_remote_code=trust_remote_code)
    text: Any = config.get_text_config(decoder=True)
    layers = int(text.num_hidden_layers)
    kinds = list(getattr(text, "layer_types", None) or [])[:layers]
    kept = min(layers, max([2, *(kinds.index(kind) + 1 for kind in kinds)]))
    for name, value in list(vars(text).items()):
        if isinstance(value, list) and len(value) == layers:  # a setting of each layer
            setattr(text, name, value[:kept])
        if name.endswith("token_id"):
            setattr(text, name, None)
        if isinstance(value, int) and name in SMALL:
            setattr(text, name, min(value, SMALL[name]))
    text.num_hidden_layers = kept
    model: PreTrainedModel = AutoModelForCausalLM.from_config(
        config, dtype=torch.float32, trust_remote_code=trust_remote_code
    )
    # weights large enough for the logits to tell one token from another
    for parameter in model.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=1.5 * parameter.shape[-1] ** -0.5)
    return model


def _probe_sequences(model: "PreTrainedModel", longest: int) -> Sequences:
    """Make two completions of one prompt, as long as training allows for this model."""
    declared = of_model(model)
    longest = min(longest, declared.context or longest, declared.steady or longest)
    ids = np.arange(2 * longest) ** 2 % min(vocabulary_of(model), 997)
    prompt, long, short = np.split(ids[: longest + longest // 2], [longest // 4, longest])
    return Sequences([prompt, prompt], [long, short])


def _run_model_code(scorer: Scorer, compute: Callable[[], Any]) -> Any:
    """Call a function that runs a model's own code; its errors become `ConfigError`."""
    try:
        return compute()
    except (AsymreinforceError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # a model's own code or a kernel raises many kinds
        reason = str(error).strip().split("\n")[0]
        raise ConfigError(
            f"{type(scorer.model).__name__} does not run in packed training, which uses "
            f"transformers' attention interface ({type(error).__name__}: {reason}); use another "
            "model, or train.attention=sdpa if it is the attention kernel that complains"
        ) from error


def _own_logps(model: Any, sequences: Sequences) -> Tensor:
    """Return log pi of each completion token by the model's own forward, in fp32."""
    logps = []
    for prompt, completion in zip(*sequences, strict=True):
        ids_1T = torch.from_numpy(np.concatenate([prompt, completion]))[None].to(model.device)
        logits_TV = model(input_ids=ids_1T, use_cache=False).logits[0, len(prompt) - 1 : -1]
        targets_T1 = torch.from_numpy(completion)[:, None].to(model.device)
        logps.append(logits_TV.float().log_softmax(-1).gather(1, targets_T1)[:, 0])
    return torch.cat(logps)


def _has_plain_head(model: Any, ids: np.ndarray) -> bool:
    """Return whether the model returns large logits unchanged, as they leave the head."""
    left: list[Tensor] = []

    def enlarge_logits(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        left.append(output * (100 / output.abs().max()))
        return left[0]

    handle = model.get_output_embeddings().register_forward_hook(enlarge_logits)
    try:
        ids_1T = torch.from_numpy(ids)[None].to(model.device)
        came_out = model(input_ids=ids_1T, use_cache=False).logits
    finally:
        handle.remove()
    return torch.allclose(came_out.float(), left[0].float(), rtol=1e-2)

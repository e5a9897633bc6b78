"""Alternatives to our trainer for fair comparison: functions of (model, sequences, coefficients).

Each adds to `.grad` the gradient of the same loss,

    loss = -(1/B) sum_i A_i sum_t log pi(y_it | x_i, y_i,<t)

The measured time of all includes the layout of tokens, and not the optimizer.

Shapes: B sequences, R rows of a micro-batch, T tokens of its longest row, V vocabulary.
"""

import os
import tempfile
import warnings
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedModel

from asymreinforce.update.packing import Sequences

TRL_VERSION = "1.16.0"
PAD, END = 0, 1
UNSCORED = -100

Gradient = Callable[[], None]


def has_trl() -> bool:
    """Tell whether the pinned release of TRL is installed; other releases are not measured."""
    try:
        return find_spec("trl") is not None and version("trl") == TRL_VERSION
    except PackageNotFoundError:
        return False


def padded(
    model: PreTrainedModel, sequences: Sequences, coefficients_B: Tensor, *, rows: int
) -> None:
    """Pad micro-batches of `rows` sequences as they come, take full logits and mask the loss.

    Padding is on the right, where causal attention ignores it, so that the faster path without an
    attention mask is right. The targets are shifted instead of the logits, which saves a copy of
    R x T x V.
    """
    order = np.arange(len(sequences.prompts))
    _in_order(model, sequences, coefficients_B, order=order, rows=rows)


def length_sorted(
    model: PreTrainedModel, sequences: Sequences, coefficients_B: Tensor, *, rows: int
) -> None:
    """Do the same as `padded` with sequences sorted by length, which avoids most padding."""
    lengths = [len(p) + len(c) for p, c in zip(*sequences, strict=True)]
    order = np.argsort(lengths, kind="stable")[::-1]
    _in_order(model, sequences, coefficients_B, order=order, rows=rows)


def _in_order(
    model: PreTrainedModel,
    sequences: Sequences,
    coefficients_B: Tensor,
    *,
    order: np.ndarray,
    rows: int,
) -> None:
    count = len(order)
    for start in range(0, count, rows):
        members = order[start : start + rows]
        part = sequences.take(members)
        ids_RT, targets_RT = _right_padded(part, device=model.device)
        logits_RTV = model(input_ids=ids_RT, use_cache=False).logits
        losses_RT = F.cross_entropy(
            logits_RTV.flatten(0, 1).float(),
            targets_RT.flatten(),
            reduction="none",
            ignore_index=UNSCORED,
        ).view(ids_RT.shape)
        coefficients_R = coefficients_B[torch.from_numpy(members.copy())].to(losses_RT)
        torch.autograd.backward((losses_RT.sum(-1) * coefficients_R).sum() / count)


def _right_padded(sequences: Sequences, *, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return input ids and targets; a position that is not scored has the target `UNSCORED`."""
    width = max(len(p) + len(c) for p, c in zip(*sequences, strict=True)) - 1
    ids = np.full((len(sequences.prompts), width), PAD)
    targets = np.full_like(ids, UNSCORED)
    for row, (prompt, completion) in enumerate(zip(*sequences, strict=True)):
        own = np.concatenate([prompt, completion])
        ids[row, : len(own) - 1] = own[:-1]
        targets[row, len(prompt) - 1 : len(own) - 1] = completion
    return torch.from_numpy(ids).to(device), torch.from_numpy(targets).to(device)


def import_trl() -> ModuleType:
    """Import TRL, and make its fused head skip unscored positions; see `trl_rloo`."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    warnings.filterwarnings("ignore", message="TRL currently supports vLLM")
    import trl
    from trl.trainer import utils

    utils._use_triton = lambda device: True
    return trl


def trl_rloo(model: PreTrainedModel, *, rows: int) -> Callable[[Sequences, Tensor], Gradient]:
    """Build TRL's RLOO trainer (release 1.16.0); given a step's data, return its loss step.

    The trainer is the real `RLOOTrainer`. The step calls its `compute_loss` and its accelerator's
    `backward` on the inputs that `_generate_and_score_completions` would make. Prompts are padded
    on the left and completions on the right to the widest of the *whole* step: TRL pads before it
    cuts micro-batches (`split_tensor_dict`) and does not trim afterwards. TRL's own method computes
    `old_logps` before the measured time. Its advantages are our coefficients. At a ratio of one,
    the clipped loss -min(w A, clip(w) A) has the gradient of -A log pi. The mean over a micro-batch
    and the division by the number of micro-batches make the 1/B. The gradient therefore equals that
    of the other baselines without rescaling (tests/scripts/test_baselines.py).

    Settings that are not TRL's defaults, each in its favour: no gradient checkpointing (its default
    computes every layer again), no KL term (beta = 0: no reference model), fp32 on CPU.

    **Positions.** TRL's fused head (`add_fused_lm_head`) projects only scored positions if
    `trl.trainer.utils._use_triton(device)` is true, and else every position with prompts and
    padding. `trl.trainer.utils` reads this name for nothing else, so a function that returns True
    replaces it: TRL then skips prompts and padding as on CUDA, where the replacement changes
    nothing. The kernels have another name, `trl.kernels.chunked_logprob._use_triton`, which is not
    replaced and folds tiles by torch on CPU.

    The ratio exp(logp - old_logps) is a difference of numbers near -1000 in fp32, so that on long
    sequences the gradient may differ by up to 1e-4 from the others.
    """
    trainer = _trl_trainer(model, rows=rows)

    def prepare(sequences: Sequences, coefficients_B: Tensor) -> Gradient:
        parts = _trl_inputs(trainer, sequences, coefficients_B, rows=rows)

        def gradient() -> None:
            for part in parts:
                with trainer.compute_loss_context_manager():
                    loss = trainer.compute_loss(trainer.model, part)
                trainer.accelerator.backward(loss / len(parts))

        return gradient

    return prepare


def _trl_trainer(model: PreTrainedModel, *, rows: int) -> Any:
    """Build TRL's trainer around the model; its data set and reward are never used."""
    from datasets import Dataset
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    trl = import_trl()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel({"<pad>": PAD, "<end>": END}, "<end>")),
        pad_token="<pad>",
        eos_token="<end>",
    )
    on_cpu = model.device.type == "cpu"
    config = trl.RLOOConfig(
        output_dir=tempfile.mkdtemp(prefix="bench-trl-"),
        per_device_train_batch_size=rows,
        num_generations=2,
        beta=0.0,
        gradient_checkpointing=False,
        bf16=not on_cpu,
        use_cpu=on_cpu,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
    )
    return trl.RLOOTrainer(
        model=model,
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=config,
        train_dataset=Dataset.from_dict({"prompt": ["<end>"] * rows}),
        processing_class=tokenizer,
    )


def _trl_inputs(
    trainer: Any, sequences: Sequences, coefficients_B: Tensor, *, rows: int
) -> list[dict[str, Tensor]]:
    """Pad the whole step, take `old_logps` by TRL's own method, and cut micro-batches."""
    device = trainer.accelerator.device
    prompt_ids, prompt_mask = _padded(sequences.prompts, left=True)
    completion_ids, completion_mask = _padded(sequences.completions, left=False)
    whole = {
        "prompt_ids": prompt_ids.to(device),
        "prompt_mask": prompt_mask.to(device),
        "completion_ids": completion_ids.to(device),
        "completion_mask": completion_mask.to(device),
        "advantages": coefficients_B.float().to(device),
    }
    count = len(coefficients_B)
    if count % rows:
        raise ValueError(f"TRL's micro-batches are of equal size: {rows} do not divide {count}")
    parts = [{k: v[i : i + rows] for k, v in whole.items()} for i in range(0, count, rows)]
    for part in parts:
        with torch.no_grad():
            logps, _, _ = trainer._get_per_token_logps_and_entropies(
                trainer.model,
                torch.cat([part["prompt_ids"], part["completion_ids"]], dim=1),
                torch.cat([part["prompt_mask"], part["completion_mask"]], dim=1),
                part["completion_ids"].size(1),
            )
        part["old_logps"] = (logps * part["completion_mask"]).sum(1)
    return parts


def _padded(tokens: Any, *, left: bool) -> tuple[Tensor, Tensor]:
    width = max(map(len, tokens))
    ids = np.full((len(tokens), width), PAD)
    mask = np.zeros_like(ids)
    for row, own in enumerate(tokens):
        where = slice(width - len(own), width) if left else slice(0, len(own))
        ids[row, where] = own
        mask[row, where] = 1
    return torch.from_numpy(ids), torch.from_numpy(mask)

"""The language-model head, in chunks of tokens: logits of all tokens are never in memory at once.

    log pi(y|h) = w_y . h - log sum_v exp(w_v . h)

`linear_loss` is for objectives whose coefficients are known before the forward pass. With
p = softmax(W h), the gradient of  L = -sum_t c_t log p_t[y_t]  is computed with each chunk:

    dL/dh_t = c_t (sum_v p_tv w_v - w_{y_t})          dL/dw_v = sum_t c_t (p_tv - [v = y_t]) h_t

This takes three matrix products (logits, dL/dh, dL/dW). `token_logps` is for objectives whose
coefficients depend on log pi: its backward pass computes the logits again, which takes four.

Shapes: C tokens, N tokens of a chunk, D the model's width, V vocabulary.
"""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from asymreinforce.update.memory import LogitsBuffer
from asymreinforce.update.softmax import target_differences, target_logps

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CPU_LOGITS = 80_000_000
"""Most logits of a chunk on CPU: 320 MB in fp32, or 512 tokens of a vocabulary of 152 thousand.
Larger matrix products are hardly faster."""
# a chunk reads and writes all of dL/dW, so fewer and larger chunks cost less
CUDA_SHARE = 1 / 32
"""The share of a CUDA device's memory that logits may take: 4,000 tokens of a vocabulary of 152
thousand on 80 GB."""


def most_logits(device: torch.device) -> int:
    """Return how many fp32 logits a chunk may have on a device."""
    if device.type != "cuda":
        return CPU_LOGITS
    return logits_within(torch.cuda.get_device_properties(device).total_memory)


def logits_within(device_bytes: float) -> int:
    """Return how many fp32 logits a chunk may have on a CUDA device of `device_bytes` bytes."""
    return int(device_bytes * CUDA_SHARE / 4)


class Head(NamedTuple):
    """The weight and bias of a language-model head, and the size of its chunks."""

    weight_VD: Tensor
    bias_V: Tensor | None
    buffer: LogitsBuffer
    workspace: int | None = None
    """Most logits of a chunk; None for `most_logits` of the device."""

    @classmethod
    def of(cls, model: "PreTrainedModel", buffer: LogitsBuffer) -> "Head":
        """Return the head of a Hugging Face causal language model."""
        module: Any = model.get_output_embeddings()
        return cls(module.weight, getattr(module, "bias", None), buffer)

    def chunks(self, tokens: int) -> Iterator[slice]:
        """Cut tokens into chunks of nearly equal size whose logits fit the workspace."""
        workspace = self.workspace or most_logits(self.weight_VD.device)
        most = max(1, workspace // len(self.weight_VD))
        size = math.ceil(tokens / max(1, math.ceil(tokens / most)))
        return (slice(at, min(at + size, tokens)) for at in range(0, tokens, max(1, size)))

    def logits(self, hidden_CD: Tensor, weight_VD: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Yield each chunk and its logits, in fp32 or fp64; the caller may overwrite the logits.

        `weight_VD` is the head's weight in the dtype of the hidden states.
        """
        like = hidden_CD.new_empty(0, dtype=precision_of(hidden_CD))
        for part in self.chunks(len(hidden_CD)):
            hidden_ND = hidden_CD[part]
            logits_NV = self.buffer.view(len(hidden_ND), len(weight_VD), like)
            _multiply_into(hidden_ND, weight_VD.T, out=logits_NV)
            if self.bias_V is not None:
                logits_NV += self.bias_V
            yield part, logits_NV


def precision_of(hidden_CD: Tensor) -> torch.dtype:
    """Return the dtype of logits and log-probabilities: fp32, or fp64 for fp64 hidden states."""
    return torch.promote_types(hidden_CD.dtype, torch.float32)


class Loss(NamedTuple):
    """Result of `linear_loss`."""

    loss: Tensor
    logps_C: Tensor
    by_hidden_CD: Tensor
    """dL/dh, with which the caller's backward pass starts."""


class Scores(NamedTuple):
    """Result of `token_logps`."""

    logps_C: Tensor
    entropies_C: Tensor | None
    """H_t = -sum_v p_tv log p_tv in nats, without gradient; None if not asked for."""


@torch.no_grad()
def linear_loss(head: Head, hidden_CD: Tensor, targets_C: Tensor, coefficients_C: Tensor) -> Loss:
    """Return L = -sum_t c_t log p_t[y_t] and dL/dh, computed in one pass.

    dL/dW and dL/db are added to `.grad` of the head's weight and bias if they require a gradient.
    Autograd is not used: the caller continues with `hidden.backward(by_hidden_CD)`.
    """
    # added to `.grad` directly, so that dL/dW is never in memory twice
    by_weight_VD, by_bias_V = _grad_of(head.weight_VD), _grad_of(head.bias_V)
    coefficients_C = coefficients_C.to(precision_of(hidden_CD))
    logps_C, by_hidden_CD = _add_gradient(
        head, hidden_CD, targets_C, coefficients_C, by_weight_VD, by_bias_V
    )
    return Loss(-(coefficients_C * logps_C).sum(), logps_C, by_hidden_CD)


def token_logps(
    head: Head, hidden_CD: Tensor, targets_C: Tensor, *, entropy: bool = False
) -> Scores:
    """Return log p_t[y_t] with gradient; the backward pass computes the logits again.

    `entropy` costs another pass over the logits.
    """
    logps_C, entropies_C = _TokenLogps.apply(  # type: ignore[no-untyped-call]
        hidden_CD, head.weight_VD, head.bias_V, targets_C, head, entropy
    )
    return Scores(logps_C, entropies_C if entropy else None)


class _TokenLogps(torch.autograd.Function):
    """log p_t[y_t] without keeping logits between the forward and the backward pass."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden_CD: Tensor,
        weight_VD: Tensor,
        bias_V: Tensor | None,
        targets_C: Tensor,
        head: Head,
        entropy: bool,
    ) -> tuple[Tensor, Tensor]:
        precision = precision_of(hidden_CD)
        logps_C, entropies_C = (torch.zeros_like(targets_C, dtype=precision) for _ in range(2))
        for part, logits_NV in head.logits(hidden_CD, weight_VD.to(hidden_CD.dtype)):
            logps_C[part], entropies_N = target_logps(logits_NV, targets_C[part], entropy=entropy)
            if entropies_N is not None:
                entropies_C[part] = entropies_N
        ctx.head = head
        ctx.save_for_backward(hidden_CD, targets_C)
        ctx.mark_non_differentiable(entropies_C)
        return logps_C, entropies_C

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        hidden_CD, targets_C = ctx.saved_tensors
        head: Head = ctx.head
        by_weight_VD = torch.zeros_like(head.weight_VD) if ctx.needs_input_grad[1] else None
        by_bias_V = torch.zeros_like(ctx.head.bias_V) if ctx.needs_input_grad[2] else None
        _, by_hidden_CD = _add_gradient(
            head, hidden_CD, targets_C, -outer[0], by_weight_VD, by_bias_V
        )
        return by_hidden_CD, by_weight_VD, by_bias_V, None, None, None


def _add_gradient(
    head: Head,
    hidden_CD: Tensor,
    targets_C: Tensor,
    coefficients_C: Tensor,
    by_weight_VD: Tensor | None,
    by_bias_V: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Return log p_t[y_t], and dL/dh of L = -sum_t c_t log p_t[y_t].

    dL/dW and dL/db are added to their tensors if these are given.
    """
    weight_VD = head.weight_VD.to(hidden_CD.dtype)
    by_hidden_CD = torch.empty_like(hidden_CD)
    logps_C = torch.empty_like(targets_C, dtype=precision_of(hidden_CD))
    for part, logits_NV in head.logits(hidden_CD, weight_VD):
        logps_C[part], difference_NV = target_differences(
            logits_NV, targets_C[part], hidden_CD.dtype
        )
        coefficients_N = coefficients_C[part]
        by_hidden_ND = torch.mm(difference_NV, weight_VD, out=by_hidden_CD[part])
        # c multiplies N x D numbers here, instead of N x V
        by_hidden_ND *= coefficients_N[:, None]
        scaled_ND = hidden_CD[part] * coefficients_N[:, None]
        if by_weight_VD is not None:
            _add_product(by_weight_VD, difference_NV.T, scaled_ND.to(difference_NV.dtype))
        if by_bias_V is not None:
            by_bias_V += coefficients_N.to(difference_NV.dtype) @ difference_NV
    return logps_C, by_hidden_CD


def _grad_of(parameter: Tensor | None) -> Tensor | None:
    """Return `.grad` of a parameter, set to zeros if empty; None if no gradient is required."""
    if parameter is None or not parameter.requires_grad:
        return None
    if parameter.grad is None:
        parameter.grad = torch.zeros_like(parameter)
    return parameter.grad


def _multiply_into(left: Tensor, right: Tensor, *, out: Tensor) -> None:
    """out = left @ right, in the precision of `out`."""
    # logits rounded to bf16 would be off by 0.4%
    if left.dtype == out.dtype:
        torch.mm(left, right, out=out)
    elif left.is_cuda:
        torch.mm(left, right, out_dtype=out.dtype, out=out)
    else:
        torch.mm(left.to(out.dtype), right.to(out.dtype), out=out)


def _add_product(total_VD: Tensor, left_VN: Tensor, right_ND: Tensor) -> None:
    """total += left @ right, in the precision of the total."""
    if left_VN.dtype == total_VD.dtype:
        total_VD.addmm_(left_VN, right_ND)
    elif left_VN.is_cuda:
        torch.addmm(total_VD, left_VN, right_ND, out_dtype=total_VD.dtype, out=total_VD)
    else:
        total_VD.addmm_(left_VN.to(total_VD.dtype), right_ND.to(total_VD.dtype))

"""The gradient of a step, in `.grad` of the parameters; how it relates to the gradients before."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def zero_gradient(parameters: Sequence[torch.nn.Parameter], device: torch.device) -> None:
    """Reset every parameter's gradient, before rows are computed on a device."""
    for parameter in parameters:
        # on CUDA the first row's gradient is kept as it is, without zeros and a sum
        if device.type == "cuda":
            parameter.grad = None
        elif parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        else:
            parameter.grad.zero_()


def fill_gradient(parameters: Sequence[torch.nn.Parameter]) -> None:
    """Set the gradient of parameters that have none to zeros."""
    # AdamW skips a parameter without gradient: a first step with all coefficients 0 would not
    # count, and a resumed run would differ from an uninterrupted run
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)


def clip_gradient(parameters: Sequence[torch.nn.Parameter], norm: Tensor, *, limit: float) -> None:
    """Scale the gradient, whose norm is `norm`, so that its norm is at most `limit`."""
    # torch's own factor; torch would also multiply the whole gradient by 1
    if float(limit / (norm + 1e-6)) < 1:
        torch.nn.utils.clip_grads_with_norm_(parameters, limit, norm)


def momentum_cosine(optimizer: torch.optim.AdamW, *, is_sharded: bool = False) -> float | None:
    """Return the cosine between the last step's gradient and the mean of those before it.

    The mean is AdamW's first moment, so the weight of an earlier gradient decays by beta_1 each
    step. Call this between a step and the next gradient; every rank must call it if the parameters
    are sharded. Returns None after the first step, and if either of the two is zero.
    """
    (group,) = optimizer.param_groups
    parameters = [p for p in group["params"] if p.grad is not None]
    if not parameters or optimizer.state[parameters[0]]["step"] < 2:
        return None
    gradients = [p.grad for p in parameters]
    moments = [optimizer.state[p]["exp_avg"] for p in parameters]
    gradient = _dot(gradients, gradients, is_sharded)
    both = _dot(gradients, moments, is_sharded)
    moment = _dot(moments, moments, is_sharded)
    # The optimizer has only m_t = beta_1 m_{t-1} + (1 - beta_1) g_t. These are g.m_{t-1} times
    # beta_1 and |m_{t-1}|^2 times its square; the factors cancel in the cosine.
    share = 1 - float(group["betas"][0])
    before = both - share * gradient
    before_squared = moment - 2 * share * both + share**2 * gradient
    if gradient <= 0 or before_squared <= 0:
        return None
    cosine = before / math.sqrt(gradient * before_squared)
    return max(-1.0, min(1.0, cosine))  # rounding may pass 1


def _dot(left: list[Tensor], right: list[Tensor], is_sharded: bool) -> float:
    """Multiply and add all entries, over all ranks; only the total is read from the device."""
    sums = [(a * b).sum(dtype=torch.float64) for a, b in zip(left, right, strict=True)]
    total = torch.stack([s.full_tensor() if is_sharded else s for s in sums]).sum()  # type: ignore[attr-defined]
    return float(total)

"""The softmax of a chunk of logits z at its targets y: log p[y], the entropy, and p - [v = y].

    log p_n[y_n] = z_ny - log sum_v exp(z_nv)          H_n = -sum_v p_nv log p_nv

On CUDA one Triton kernel reads a row of logits twice and overwrites the row with p - [v = y] in
half precision. Elsewhere PyTorch does the same with seven reads and writes of the row.

Shapes: N tokens of a chunk, V vocabulary.
"""

import functools
from typing import Any

import torch
from torch import Tensor

BLOCK = 4096
"""Logits that a program of the kernel holds at once, in 16 warps."""


def target_logps(
    logits_NV: Tensor, targets_N: Tensor, *, entropy: bool = False
) -> tuple[Tensor, Tensor | None]:
    """Return log p[y] and, if `entropy`, the entropy in nats; the logits are overwritten."""
    if _is_fused(logits_NV):
        logps_N, entropies_N = _run_kernel(logits_NV, targets_N, entropy=entropy)
        return logps_N, entropies_N
    logps_N = _softmax_in_place(logits_NV, targets_N)
    return logps_N, torch.special.entr(logits_NV, out=logits_NV).sum(-1) if entropy else None


def target_differences(
    logits_NV: Tensor, targets_N: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Return log p[y], and p - [v = y] in `dtype`; the logits are overwritten.

    The differences may share the memory of the logits.
    """
    if _is_fused(logits_NV) and dtype.itemsize == 2:
        difference_NV = logits_NV.view(dtype)[:, : logits_NV.shape[1]]
        return _run_kernel(logits_NV, targets_N, difference_NV=difference_NV)[0], difference_NV
    logps_N = _softmax_in_place(logits_NV, targets_N)
    logits_NV[torch.arange(len(targets_N), device=targets_N.device), targets_N] -= 1
    return logps_N, logits_NV.to(dtype)


def _softmax_in_place(logits_NV: Tensor, targets_N: Tensor) -> Tensor:
    """Overwrite logits with p; return log p of the targets."""
    target_N = logits_NV.gather(1, targets_N[:, None])[:, 0]
    largest_N, place_N = logits_NV.max(-1)
    p_NV = torch.softmax(logits_NV, -1, out=logits_NV)
    # log sum_v e^z = largest - log p[place], which spares another pass
    return target_N - largest_N + p_NV.gather(1, place_N[:, None])[:, 0].log()


def _is_fused(logits_NV: Tensor) -> bool:
    return logits_NV.is_cuda and logits_NV.dtype == torch.float32 and _load_kernel() is not None


def _run_kernel(
    logits_NV: Tensor,
    targets_N: Tensor,
    *,
    difference_NV: Tensor | None = None,
    entropy: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Run the kernel, one program per row; return log p[y] and the entropy."""
    logps_N = logits_NV.new_empty(len(logits_NV))
    entropies_N = torch.empty_like(logps_N) if entropy else None
    if len(logits_NV):
        _load_kernel()[(len(logits_NV),)](
            logits_NV,
            targets_N,
            logps_N,
            logps_N if entropies_N is None else entropies_N,
            logits_NV if difference_NV is None else difference_NV,
            logits_NV.shape[1],
            logits_NV.stride(0),
            0 if difference_NV is None else difference_NV.stride(0),
            HAS_ENTROPY=entropy,
            HAS_DIFFERENCE=difference_NV is not None,
            BLOCK=BLOCK,
            num_warps=16,
        )
    return logps_N, entropies_N


@functools.cache
def _load_kernel() -> Any:
    """Return the kernel, None if Triton is not installed (it comes with torch for CUDA)."""
    try:
        from asymreinforce.update.softmax_kernel import softmax_at_targets
    except ImportError:
        return None
    return softmax_at_targets

"""Errors of an engine that failed while it sampled."""

import math

from asymreinforce.errors import EngineError

LONGEST_REASON = 300
"""Characters of a library's message that are shown."""
NOT_FINITE = (
    "the engine gave a probability that is not a number: the checkpoint holds NaN or infinite "
    "weights, or overflows in policy.dtype; restore it, or set policy.dtype=bfloat16 or float32"
)


def require_finite(logps: list[float]) -> list[float]:
    """Return the log-probabilities; raise `EngineError` if any is NaN or infinite."""
    # A greedy draw and vLLM take the first token if a model's scores are NaN, without an error.
    if not math.isfinite(sum(logps)):
        raise EngineError(NOT_FINITE)
    return logps


def engine_error(failure: str, error: Exception) -> EngineError:
    """Return an error with `failure`, the first line of the library's message, and advice."""
    reason = (str(error).strip() or "it gave no reason").split("\n")[0][:LONGEST_REASON]
    advice = (
        "lower engine.max_sequences or engine.gpu_memory_share, or free the device"
        if "out of memory" in str(error).lower()
        else "what is published is kept, and the same command goes on from there"
    )
    return EngineError(f"{failure} ({type(error).__name__}: {reason}); {advice}")

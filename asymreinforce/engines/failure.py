"""What is said of an engine that failed while it worked."""

import math

from asymreinforce.errors import EngineError

LONGEST_REASON = 300
NOT_FINITE = (
    "the engine gave a probability that is not a number: the checkpoint holds NaN or infinite "
    "weights, or overflows in policy.dtype; restore it, or set policy.dtype=bfloat16 or float32"
)


def require_finite(logps: list[float]) -> list[float]:
    """Return log-probabilities; raise `EngineError` if one of them is NaN or infinite."""
    if not math.isfinite(sum(logps)):
        raise EngineError(NOT_FINITE)
    return logps


def engine_error(failure: str, error: Exception) -> EngineError:
    """Return the error to raise: what failed, the library's first line, and what to do."""
    reason = (str(error).strip() or "it gave no reason").split("\n")[0][:LONGEST_REASON]
    advice = (
        "lower engine.max_sequences or engine.gpu_memory_share, or free the device"
        if "out of memory" in str(error).lower()
        else "what is published is kept, and the same command goes on from there"
    )
    return EngineError(f"{failure} ({type(error).__name__}: {reason}); {advice}")

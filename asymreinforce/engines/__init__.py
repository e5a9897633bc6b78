"""Inference engines behind one protocol; `open_engine` starts the configured engine."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from asymreinforce.config import EngineConfig, PolicyConfig
from asymreinforce.engines.protocol import Completion, Engine, Job
from asymreinforce.errors import EngineError


@contextlib.contextmanager
def open_engine(engine: EngineConfig, policy: PolicyConfig, *, log: Path) -> Iterator[Engine]:
    """Yield the configured engine and close it afterwards; the first `load` starts its library.

    The library's output goes to the file `log`. Raises `EngineError` for an unknown `engine.name`.
    """
    opened: Engine
    # imported in the branches: vLLM may not be installed, and both libraries are slow to import
    if engine.name == "vllm":
        from asymreinforce.engines.vllm_engine import VllmEngine

        opened = VllmEngine(engine, policy, log=log)
    elif engine.name == "transformers":
        from asymreinforce.engines.transformers_engine import TransformersEngine

        opened = TransformersEngine(engine, policy)
    else:
        raise EngineError(f"engine.name={engine.name} is not known")
    try:
        yield opened
    finally:
        opened.close()


def engine_identity(engine: EngineConfig, policy: PolicyConfig) -> dict[str, Any]:
    """Return the settings of the engine that determine the sampled bytes, for identities."""
    # max_sequences is among the settings because rounding depends on the shape of a batch.
    ranks = {"tensor_parallel_size": engine.tensor_parallel_size} if engine.name == "vllm" else {}
    return {
        "name": engine.name,
        "threads": engine.threads,
        "max_sequences": engine.max_sequences,
        "dtype": policy.dtype,
        **ranks,
    }


__all__ = ["Completion", "Engine", "Job", "engine_identity", "open_engine"]

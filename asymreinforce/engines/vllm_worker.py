"""Functions that run inside vLLM's workers; `collective_rpc` calls them with the worker."""

import os
import signal
import threading
import time
from typing import Any


def reseed(worker: Any, seed: int) -> None:
    """Seed torch's generator in a vLLM worker."""
    import torch

    # per-request seeds crash vLLM on CPU
    torch.manual_seed(seed)


def refresh_tied_head(worker: Any) -> None:
    """Repack a language-model head that shares its weight with the embedding (a tied head)."""
    from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead

    # On CPU vLLM packs each linear layer's weight as it loads the weight. The checkpoint holds no
    # weight for a tied head, so a reload changes the embedding and leaves the old packed head.
    for module in worker.model_runner.get_model().modules():
        if isinstance(module, ParallelLMHead):
            module.quant_method.process_weights_after_loading(module)


def end_with(worker: Any, command: int) -> None:
    """Kill vLLM's processes once the process with id `command` is gone, however it ended."""
    import psutil  # type: ignore[import-untyped]

    # vLLM's core process does not notice that its parent was killed, and would keep the GPU's
    # memory. The worker is the core process or a child of it.
    core = psutil.Process()
    if core.ppid() != command:
        core = core.parent() or core

    def watch_command() -> None:
        while core.is_running() and core.ppid() == command:
            time.sleep(1)
        if core.is_running():
            core.kill()
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch_command, daemon=True, name="end-with-command").start()

"""What runs inside vLLM's workers: functions that `collective_rpc` calls with the worker."""

import os
import signal
import threading
import time
from typing import Any


def reseed(worker: Any, seed: int) -> None:
    """Seed torch's generator in a vLLM worker: per-request seeds crash on CPU."""
    import torch

    torch.manual_seed(seed)


def refresh_tied_head(worker: Any) -> None:
    """Repack a language-model head that shares its weight with the embedding.

    On CPU vLLM packs each linear layer's weight when it loads it. A tied head has no weight of its
    own in the checkpoint, so a reload swaps the embedding and leaves the packed head as it was.
    """
    from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead

    for module in worker.model_runner.get_model().modules():
        if isinstance(module, ParallelLMHead):
            module.quant_method.process_weights_after_loading(module)


def end_with(worker: Any, command: int) -> None:
    """Let vLLM's processes end when the command that started them is gone, however it ended.

    vLLM's core process notices nothing where its parent is killed, and would keep the GPU's memory.
    The worker is that process, or a child of it.
    """
    import psutil  # type: ignore[import-untyped]

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

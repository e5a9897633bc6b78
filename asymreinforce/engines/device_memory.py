"""Memory of a CUDA device that this process keeps for later, though nothing uses it."""

import gc


def return_unused_memory() -> None:
    """Give what torch keeps for its next tensors back to the device; nothing where CUDA rests.

    Another process's engine, or vLLM's own allocator, cannot take it otherwise.
    """
    import torch

    gc.collect()
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()

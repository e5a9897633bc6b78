"""Return CUDA memory that torch caches in this process to the device."""

import gc


def return_unused_memory() -> None:
    """Free torch's cached CUDA memory; do nothing if this process has not initialized CUDA.

    Another process's engine and vLLM's allocator cannot use memory that torch caches.
    """
    import torch

    gc.collect()  # tensors in reference cycles still hold their memory
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()

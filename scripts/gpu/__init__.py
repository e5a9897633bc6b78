"""What `scripts/check_gpu.py` checks and measures on a CUDA device."""

"""The checks and measurements of `scripts/check_gpu.py` on a CUDA device."""

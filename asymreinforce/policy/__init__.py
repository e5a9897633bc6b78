"""The policy: checkpoints, log-probabilities, the optimizer step, and the embedded tiny one."""

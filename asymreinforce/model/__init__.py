"""The model: checkpoints, configurations, prompts, adapters, and the embedded policy."""

"""What only looks: stored rollouts with their verdicts, and completions of a checkpoint."""

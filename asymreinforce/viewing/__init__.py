"""Read and show stored rollouts, verdicts, completions and progress; nothing is changed."""

"""From stored verdicts to rewards, and counts over verdicts."""

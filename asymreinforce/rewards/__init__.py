"""Graders, the pool of killable processes that runs them, and the reward scale."""

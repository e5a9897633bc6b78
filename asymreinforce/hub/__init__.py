"""Push to the Hugging Face hub: a trained checkpoint, or rollouts with their verdicts.

Nothing is sent unless a command asks for it, and new repositories are private unless `--public` is
given.
"""

"""Push to the Hugging Face hub: a trained checkpoint, or rollouts with their verdicts.

Nothing is sent unless a command asks for it, and what is made is private unless it is asked to be
public.
"""

"""One optimizer step: packing, attention, the head, log-probabilities, the optimizer's state."""

"""What only counts: the sizes of a model, the memory of a step, the work of a sweep."""

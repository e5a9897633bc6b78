"""The objective and its diagnostics: tensors in, tensors out."""

"""Phase diagrams of a language model: final accuracy over the baseline and one more setting."""

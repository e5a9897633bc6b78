"""Whether two mathematical answers are equal: `equivalence.py` is the door."""

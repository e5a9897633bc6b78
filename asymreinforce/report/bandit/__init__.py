"""Report the theory benches: figures, findings and a page."""

"""Report an experiment directory as tables, figures and a page, without changing its data."""

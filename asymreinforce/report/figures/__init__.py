"""Draw the figures of an experiment, as files and inside the page."""

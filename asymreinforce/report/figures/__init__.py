"""The figures of an experiment, as files and inside the page."""

"""The stages of an experiment; each is a function of files that can be killed and run again."""

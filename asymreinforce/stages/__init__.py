"""The stages: each a function of files, that can be killed and run again."""

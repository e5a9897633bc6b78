"""Grader processes that can be killed: the pool, its fork server, and the workers."""

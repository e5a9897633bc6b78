"""Rollouts from elsewhere: files -> records -> rows, checked, and brought together by prompt."""

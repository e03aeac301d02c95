"""Completeness: what has not come, what does not fit, and what devices counted against it."""

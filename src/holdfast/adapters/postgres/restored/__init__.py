"""Restored copies of protected databases: PostgreSQL in recovery, shut off from everything around it."""

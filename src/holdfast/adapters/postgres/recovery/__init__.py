"""Runs, playbooks and fences on PostgreSQL."""

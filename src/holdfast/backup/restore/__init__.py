"""Restoring: a plan is judged, files are laid out, PostgreSQL recovers them and answers."""

"""Persons: pseudonyms in the log, what is known of them beside it, and how both are let go of."""

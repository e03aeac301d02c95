"""The ledger, wired: its process, and the commands that work on it."""

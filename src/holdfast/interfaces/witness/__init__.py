"""The witness's address."""

"""pgBackRest, driven by its own command."""

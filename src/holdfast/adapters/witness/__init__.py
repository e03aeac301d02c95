"""The witness's own memory of what it has cosigned."""

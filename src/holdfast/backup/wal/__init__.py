"""The write-ahead log: received, spooled, stored, acknowledged, and read."""

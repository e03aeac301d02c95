"""What is stored is compressed with zstandard, and sealed with AES-256-GCM where the estate names a key."""

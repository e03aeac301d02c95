"""A protected database, through its replication protocol: backups, WAL, slots."""

"""Patroni, which elects the leader of a PostgreSQL cluster."""

"""The ledger on PostgreSQL: a module, and its statements, for each of its ports."""

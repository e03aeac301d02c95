"""Taking backups: when, of what, in one pass into all regions, and what half-finished ones leave."""

"""How backups are wired: databases, regions and what is done with them."""

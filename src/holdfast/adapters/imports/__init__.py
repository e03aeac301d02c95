"""Reads what other tools keep: Uptime Kuma's database, Upptime's repository. Never writes there."""

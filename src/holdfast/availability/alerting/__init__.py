"""Alerts: from burning error budgets and outages to what operators are told, and what they were told."""

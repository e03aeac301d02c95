"""Copies beside each other: one catches up from another, one is healed from another."""

"""Printcloud: a small, real cloud print service. Holdfast's demo watches it, and the lab breaks it."""

"""Verifying: a whole log recomputed from its entries, and compared with all that is stored of it."""

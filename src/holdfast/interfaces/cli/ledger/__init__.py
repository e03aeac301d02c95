"""`holdfast ledger`: a module per subject, put together in group.py."""

"""Measures what Holdfast promises, on real parts: `make bench`, or `python -m bench [NAME...]`."""

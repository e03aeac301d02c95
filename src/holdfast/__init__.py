"""Holdfast keeps the continuity promises of a cloud service, and proves that it keeps them."""

__version__ = "0.1.0"

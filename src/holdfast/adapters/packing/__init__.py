"""Compressing and sealing what is stored of databases."""

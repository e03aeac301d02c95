"""Numbered migrations, `NNNN_name.sql`, applied in order and never changed once released.

A migration is plain SQL in one transaction that it neither begins nor ends. Names are resolved in the schema
`holdfast`.
"""

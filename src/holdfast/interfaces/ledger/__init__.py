"""The ledger's address: sources post records and claims to it, readers get tiles, checkpoints and proofs."""

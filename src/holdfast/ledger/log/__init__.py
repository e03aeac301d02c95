"""The log's cryptography: pure functions over bytes, in formats that others can verify.

RFC 6962's Merkle tree (tree.py), cut into tiles (tiles.py); its size and root as a checkpoint
(checkpoint.py), which is a signed note (notes.py) and is cosigned by a witness (witness.py); and proofs
that hold without us (proof.py). Sources: RFC 6962 section 2.1, RFC 9162 section 2.1, and the C2SP
specifications tlog-tiles, tlog-checkpoint, signed-note, tlog-cosignature, tlog-witness and tlog-proof.
"""

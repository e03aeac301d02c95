"""The accounting ledger: every finished job, complete, traceable and provable.

    intake (what sources post) -> sequencing (each source's own order) -> log (a Merkle tree per tenant)
                                                                       -> rollups (what reports are read from)

`model.py` has the words, `ports.py` what is needed from outside.
"""

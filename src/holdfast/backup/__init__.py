"""SQL backup: copies of running databases in several regions, what they can be restored to, and the proof.

Start at `model.py` (the words), then `recoverable/chain.py` (what a region's objects amount to). Decisions
are pure modules; the objects in the regions are the truth, and a restore needs nothing else.
"""

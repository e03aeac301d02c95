"""Appending: every new record finds its place in its tenant's log, and is acknowledged once it is safe."""

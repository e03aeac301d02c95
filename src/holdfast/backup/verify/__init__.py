"""Verifying: a point is restored every day and looked at; what differs from its own history is marked."""

"""Checks over real sockets, one module for each protocol, each phase timed and bounded.

Everything about one attempt lives in the coroutine that runs it. Nothing is pooled and no thread is borrowed:
no target can make another one wait.
"""

from holdfast.adapters.probes.probes import Probes

__all__ = ["Probes"]

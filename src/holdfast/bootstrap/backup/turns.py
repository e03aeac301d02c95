"""How much heavy work one process does at the same time, whatever number of databases it keeps."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

LOOK_EVERY_S = 0.5
"""Between two looks whether whoever waits is to stop."""


class Heavy(StrEnum):
    """Work that reads or writes a whole database."""

    TAKE = "take"
    VERIFY = "verify"
    COPY = "copy"
    SCRUB = "scrub"


MOST: Mapping[Heavy, int] = {Heavy.TAKE: 2, Heavy.VERIFY: 1, Heavy.COPY: 2, Heavy.SCRUB: 1}
"""How many of each at once. A verification needs room for a copy, and a server's memory."""


@dataclass(frozen=True, slots=True, eq=False)
class _Ticket:
    kind: Heavy
    subject: str


class Turns:
    """Whose turn it is. First come, first served; one subject is never worked on twice in the same way."""

    def __init__(self, most: Mapping[Heavy, int] = MOST) -> None:
        self._most = most
        self._changed = threading.Condition()
        self._waiting: list[_Ticket] = []
        self._at_work: list[_Ticket] = []

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        with self._changed:
            return len(self._waiting)

    @contextmanager
    def taken(self, kind: Heavy, subject: str, go_on: Callable[[], None]) -> Iterator[bool]:
        """Wait for a turn and keep it; yields whether it had to wait. `go_on` raises to give the wait up."""
        ticket = _Ticket(kind, subject)
        waited = False
        with self._changed:
            self._waiting.append(ticket)
            try:
                while self._next(kind) is not ticket:
                    waited = True
                    go_on()
                    self._changed.wait(LOOK_EVERY_S)
                self._at_work.append(ticket)
            finally:
                self._waiting.remove(ticket)
                self._changed.notify_all()
        try:
            yield waited
        finally:
            with self._changed:
                self._at_work.remove(ticket)
                self._changed.notify_all()

    def _next(self, kind: Heavy) -> _Ticket | None:
        busy = [each.subject for each in self._at_work if each.kind is kind]
        if len(busy) >= self._most[kind]:
            return None
        return next((each for each in self._waiting if each.kind is kind and each.subject not in busy), None)


class Stillness:
    """Nothing is let go of while somebody reads it: a verification keeps still what expiry would delete.

    Only `longest_s` long: should a verification never end, the store does not grow for ever.
    """

    def __init__(self, monotonic: Callable[[], float], longest_s: float) -> None:
        self._monotonic = monotonic
        self._longest_s = longest_s
        self._changed = threading.Condition()
        self._still_since: float | None = None
        self._moving = 0

    @contextmanager
    def kept(self, go_on: Callable[[], None]) -> Iterator[None]:
        """Wait until nothing is being let go of, and keep it so. One at a time."""
        with self._changed:
            while self._moving:
                go_on()
                self._changed.wait(LOOK_EVERY_S)
            self._still_since = self._monotonic()
        try:
            yield
        finally:
            with self._changed:
                self._still_since = None
                self._changed.notify_all()

    @contextmanager
    def broken(self) -> Iterator[bool]:
        """For letting go of something: whether that may be done now."""
        with self._changed:
            since = self._still_since
            may = since is None or self._monotonic() - since >= self._longest_s
            self._moving += may
        try:
            yield may
        finally:
            with self._changed:
                self._moving -= may
                self._changed.notify_all()

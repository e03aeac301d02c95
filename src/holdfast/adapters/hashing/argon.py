"""Passwords as argon2id, with the parameters that RFC 9106 recommends where memory is short.

A hash takes 64 MiB and some tens of milliseconds. So few run at once, in threads of their own; some more may
wait, and the rest is sent away: a flood of logins must not take the memory of the whole process.
"""

import asyncio
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import Parameters, PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY

from holdfast.identity.errors import Unavailable

T = TypeVar("T")
AT_ONCE = 2
MOST_WAITING = 32


class Argon2:
    """Hashing. `parameters` are for tests, which have no time."""

    def __init__(
        self,
        parameters: Parameters = RFC_9106_LOW_MEMORY,
        *,
        at_once: int = AT_ONCE,
        waiting: int = MOST_WAITING,
    ) -> None:
        self._hasher = PasswordHasher.from_parameters(parameters)
        self._threads = ThreadPoolExecutor(at_once, "argon2")
        self._most = at_once + waiting
        self._here = 0
        # Compared with where there is nothing to compare with: made now, so that the first one is no slower.
        self._nothing = self._hasher.hash(secrets.token_urlsafe())

    async def hash(self, password: str) -> str:
        return await self._in_turn(lambda: self._hasher.hash(password))

    async def verify(self, hashed: str | None, password: str) -> bool:
        compared = self._nothing if hashed is None else hashed
        right = await self._in_turn(lambda: self._verified(compared, password))
        return right and hashed is not None

    def outdated(self, hashed: str) -> bool:
        return self._hasher.check_needs_rehash(hashed)

    def _verified(self, hashed: str, password: str) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _in_turn(self, work: Callable[[], T]) -> T:
        if self._here >= self._most:
            raise Unavailable("too many logins at once", hint="try again in a few seconds")
        self._here += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._here -= 1

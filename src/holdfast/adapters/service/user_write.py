"""A write as a user makes it: by the name that users know, at the address that this name has now."""

import ipaddress
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

from holdfast.adapters.service.asking import exchange
from holdfast.kernel.clock import Clock
from holdfast.recovery.errors import StepFailed
from holdfast.recovery.region_ports import Written

Found = Callable[[str], Awaitable[str | None]]
"""The address of a name; None: as the system's resolver says. Raises StepFailed."""


@dataclass(frozen=True, slots=True)
class Request:
    """`{id}` in the body and the addresses stands for a new id each time."""

    url: str
    method: str
    body: str
    status: int
    headers: Mapping[str, str]
    read_url: str | None
    within: timedelta


class HttpUserWrite:
    """UserWrite."""

    def __init__(self, request: Request, found: Found, clock: Clock) -> None:
        self._request = request
        self._found = found
        self._clock = clock

    async def write(self) -> Written:
        asked = self._request
        made = secrets.token_hex(8)
        began = time.monotonic()
        status, body = await self._exchange(
            asked.method, asked.url.replace("{id}", made), asked.body.replace("{id}", made)
        )
        took, at = time.monotonic() - began, self._clock.now()
        if status != asked.status:
            told = body[:200].decode(errors="replace")
            raise StepFailed(f"{asked.url} answers {status}, not {asked.status}: {told}")
        if asked.read_url is not None:
            status, body = await self._exchange("GET", asked.read_url.replace("{id}", made), None)
            if status != 200 or made.encode() not in body:
                raise StepFailed(f"what was written is not read again at {asked.read_url} ({status})")
        return Written(made, at, took, asked.read_url is not None)

    async def _exchange(self, method: str, url: str, content: str | None) -> tuple[int, bytes]:
        host = urlsplit(url).hostname or ""
        at = None if _is_address(host) else await self._found(host)
        return await exchange(
            method,
            url,
            self._request.within.total_seconds(),
            content=content,
            headers=self._request.headers,
            at=at,
        )


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True

"""One exchange over HTTP that ends in time, over a connection of its own."""

import json
import socket
from collections.abc import Mapping
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from holdfast.recovery.errors import StepFailed

MOST_BYTES = 256 * 1024


class Fixed(AbstractResolver):
    """Every name is at this address."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        family = socket.AF_INET6 if ":" in self._address else socket.AF_INET
        return [
            ResolveResult(
                hostname=host,
                host=self._address,
                port=port,
                family=family,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
        ]

    async def close(self) -> None:
        """There is nothing to close."""


async def exchange(
    method: str,
    url: str,
    within_s: float,
    *,
    content: str | None = None,
    headers: Mapping[str, str] | None = None,
    at: str | None = None,
) -> tuple[int, bytes]:
    """The status and the body, at the address `at`, or where the system says. Raises StepFailed."""
    resolver = None if at is None else Fixed(at)
    connector = aiohttp.TCPConnector(force_close=True, resolver=resolver, use_dns_cache=False)
    timeout = aiohttp.ClientTimeout(total=within_s)
    sent = {"content-type": "application/json", **(headers or {})} if content is not None else headers
    try:
        async with (
            aiohttp.ClientSession(
                connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
            ) as session,
            session.request(
                method,
                url,
                data=None if content is None else content.encode(),
                headers=sent,
                allow_redirects=False,
            ) as response,
        ):
            body = bytearray()
            async for chunk in response.content.iter_chunked(65_536):
                body += chunk
                if len(body) > MOST_BYTES:
                    raise StepFailed(f"{url} answers with more than an answer is long")
            return response.status, bytes(body)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise StepFailed(f"{url} does not answer: {str(error) or type(error).__name__}") from error


def document(body: bytes) -> Mapping[str, Any]:
    """A JSON object; empty for anything else."""
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}

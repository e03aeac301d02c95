"""Asks the site for everything that it shows to everybody, in this process and without a network."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from holdfast.interfaces.staticsite.addresses import Address, Extent, address_of, file_of
from holdfast.interfaces.staticsite.rewriting import links_of
from holdfast.kernel.errors import HoldfastError, Remedy

MOST_PAGES = 50_000
AT_ONCE = 3
_TRIES = 6
_WAIT_S = 0.5

Asgi = Callable[[MutableMapping[str, Any], Any, Any], Awaitable[None]]


class TooLarge(HoldfastError):  # noqa: N818  a state of affairs more than an error
    """The site has more pages than a copy may have."""

    remedy = Remedy.NEEDS_OPERATOR


@dataclass(frozen=True, slots=True)
class Copied:
    """One answer as it came, compressed. `file` is where it goes."""

    address: Address
    file: str
    media_type: str
    packed: bytes

    @property
    def body(self) -> bytes:
        return zlib.decompress(self.packed)

    @property
    def is_page(self) -> bool:
        return self.media_type.startswith("text/html")


@dataclass(slots=True)
class Crawl:
    """What was found. `missing` are addresses that could not be had now, though they may exist."""

    copied: dict[Address, Copied] = field(default_factory=dict)
    missing: set[Address] = field(default_factory=set)


Shown = Callable[[int, int], None]
"""Told of progress: how many were asked for, of how many known so far."""


async def crawled(
    site: Asgi,
    extent: Extent,
    seeds: Iterable[Address],
    shown: Shown = lambda *_: None,
    at_once: int = AT_ONCE,
) -> Crawl:
    """Everything that can be reached from `seeds`, within `extent`. Raises TooLarge."""
    found = Crawl()
    known = dict.fromkeys(seeds)
    waiting: asyncio.Queue[Address] = asyncio.Queue()
    for each in known:
        waiting.put_nowait(each)

    async def work() -> None:
        while True:
            address = await waiting.get()
            try:
                for each in await _visit(site, extent, address, found):
                    if each not in known:
                        known[each] = None
                        waiting.put_nowait(each)
                if len(known) > MOST_PAGES:
                    raise TooLarge(
                        f"the site has more than {MOST_PAGES} pages", hint="copy fewer months: --months 6"
                    )
                shown(len(known) - waiting.qsize(), len(known))
            finally:
                waiting.task_done()

    workers = [asyncio.create_task(work()) for _ in range(at_once)]
    joining = asyncio.create_task(waiting.join())
    try:
        await asyncio.wait([joining, *workers], return_when=asyncio.FIRST_COMPLETED)
        for worker in workers:
            if worker.done():
                worker.result()
    finally:
        for task in (joining, *workers):
            task.cancel()
        await asyncio.gather(joining, *workers, return_exceptions=True)
    return found


async def _visit(site: Asgi, extent: Extent, address: Address, found: Crawl) -> list[Address]:
    """Ask for one address; returns the addresses that its page links to, as far as a copy has them."""
    status, headers, body = await _asked(site, address)
    media_type = headers.get("content-type", "")
    if status != 200:
        if status >= 429:
            found.missing.add(address)
        return []
    if "private" in headers.get("cache-control", ""):
        return []
    packed = await asyncio.to_thread(zlib.compress, body, 3) if len(body) > 65_536 else zlib.compress(body, 3)
    found.copied[address] = Copied(address, file_of(address, media_type), media_type, packed)
    if not media_type.startswith("text/html"):
        return []
    linked = (address_of(each, address, extent.languages) for each in links_of(body.decode()))
    return [each for each in linked if each is not None and extent.covers(each)]


async def _asked(site: Asgi, address: Address) -> tuple[int, dict[str, str], bytes]:
    """The answer. One that says to come back later is asked for again, a few times."""
    for turn in range(_TRIES):
        status, headers, body = await asked(site, address)
        if status != 429 or turn == _TRIES - 1:
            break
        await asyncio.sleep(_WAIT_S * (turn + 1))
    return status, headers, body


async def asked(site: Asgi, address: Address) -> tuple[int, dict[str, str], bytes]:
    """One GET, as a server would hand it to the site."""
    told = str(address)
    path, _, query = told.partition("?")
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": address.path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(b"host", b"localhost")],
        "client": ("127.0.0.1", 0),
        "server": ("127.0.0.1", 80),
        "state": {},
    }
    status, headers, body = 500, {}, bytearray()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        nonlocal status, headers
        if message["type"] == "http.response.start":
            status = message["status"]
            headers = {name.decode().lower(): value.decode("latin-1") for name, value in message["headers"]}
        else:
            body.extend(message.get("body", b""))

    await site(scope, receive, send)
    return status, headers, bytes(body)

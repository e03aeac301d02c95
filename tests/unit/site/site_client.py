"""A visitor without a network: calls the site as a server would, and keeps what it answered."""

import asyncio
import gzip
import json
from collections.abc import Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import brotli
from site_estates import NOW, FakeReader

from holdfast.estate.model import Site
from holdfast.interfaces.site.app import StatusSite, create_site
from holdfast.interfaces.site.publisher import Rhythm
from holdfast.kernel.clock import ManualClock

SETTINGS = Site(title="Printcloud", time_zone="Europe/Berlin")
TOKEN = "t" * 40
NEVER = Rhythm(refresh_s=3600, debounce_s=0, listen_again_s=3600)
"""No rhythm of its own: the test says when the site reads (`publisher.turn`)."""


@dataclass(frozen=True)
class Response:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        content = self.body
        match self.headers.get("content-encoding"):
            case "br":
                content = brotli.decompress(content)
            case "gzip":
                content = gzip.decompress(content)
        return content.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.text)


async def ask(site: Any, address: str, *, method: str = "GET", **headers: str) -> Response:
    path, _, query = address.partition("?")
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(b"host", b"evil.example"), *raw],
        "client": ("192.0.2.1", 40_000),
        "server": ("127.0.0.1", 80),
        "state": {},
    }
    sent: list[Any] = []

    async def receive() -> Any:
        await asyncio.sleep(3600)

    async def send(message: Any) -> None:
        sent.append(message)

    await site(scope, receive, send)
    start = sent[0]
    found = {name.decode().lower(): value.decode() for name, value in start["headers"]}
    assert len(found) == len(start["headers"]), "a header was sent twice"
    return Response(start["status"], found, b"".join(each.get("body", b"") for each in sent[1:]))


@asynccontextmanager
async def running(
    reader: FakeReader,
    *,
    settings: Callable[[], Site] = lambda: SETTINGS,
    clock: ManualClock | None = None,
    snapshot_file: Path | None = None,
    links: Mapping[str, str] | None = None,
    **more: Any,
) -> Any:
    """A site that has read once, or failed to."""
    more.setdefault("rhythm", NEVER)
    site: StatusSite = create_site(
        reader,
        settings=settings,
        clock=clock or ManualClock(NOW),
        snapshot_file=snapshot_file,
        report_links=lambda: {"premium": TOKEN} if links is None else links,
        **more,
    )
    async with site.router.lifespan_context(site):
        before = site.publisher.counts.renders
        async with asyncio.timeout(60):
            while site.publisher.counts.renders == before:  # noqa: ASYNC110 - a counter rings no bell
                await asyncio.sleep(0.005)
        yield site

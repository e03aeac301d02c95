"""A site behind a real server on loopback, over a reader that the test can change."""

import asyncio

import uvicorn
from site_client import SETTINGS, TOKEN
from site_estates import NOW, FakeReader, agreement, overview
from site_news import FakeNews

from holdfast.interfaces.site.app import StatusSite, create_site
from holdfast.interfaces.site.publisher import Rhythm
from holdfast.kernel.clock import ManualClock


class ServedSite:
    """The site, its reader, and where it answers."""

    def __init__(self) -> None:
        self.reader = FakeReader(overview(10))
        self.reader.agreements["premium"] = agreement()
        self.news = FakeNews()
        self.clock = ManualClock(NOW)
        self.site: StatusSite = create_site(
            self.reader,
            settings=lambda: SETTINGS,
            clock=self.clock,
            news=self.news,
            report_links=lambda: {"premium": TOKEN},
            rhythm=Rhythm(refresh_s=3600),
        )
        # Without a bound on its own patience: a stream that is left open would hang the test.
        config = uvicorn.Config(self.site, port=0, log_config=None, access_log=False, server_header=False)
        self.server = uvicorn.Server(config)
        self.port = 0
        self._serving: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        self._serving = asyncio.create_task(self.server._serve())
        async with asyncio.timeout(60):
            while not self.server.started or self.site.publisher.edition.snapshot is None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        self.port = self.server.servers[0].sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self.site.close_streams()
        self.server.should_exit = True
        if self._serving is not None:
            async with asyncio.timeout(60):
                await self._serving
            self._serving = None

"""What an account that belongs to a customer sees: that customer's own pages, as behind their secret link.

Nothing else of the console is open to it but its own account.
"""

import asyncio
from collections.abc import Callable, Sequence

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from holdfast.identity.model import SessionView
from holdfast.interfaces.console.assets import stylesheets
from holdfast.interfaces.console.shell import ConsolePage, page, problem, session_of, shell_of
from holdfast.interfaces.site.customers import CustomerPages, Visit, read_whole
from holdfast.interfaces.site.i18n import negotiated, offered
from holdfast.interfaces.site.ports import NewsSource, StatusReader
from holdfast.interfaces.site.readership import Readership
from holdfast.interfaces.site.reading import AwayError, GoneError
from holdfast.interfaces.site.rendering import Assets
from holdfast.interfaces.site.snapshot import Snapshot

HOME = "/customer"
READ_AGAIN_S = 10.0
_QUERY = ("month", "range", "from", "to")
_LONGEST_VALUE = 32


class CustomerConsole:
    """The pages over the readers that the site has. All customers share one reading for some seconds."""

    def __init__(self, reader: StatusReader, news: NewsSource, readership: Callable[[], Readership]) -> None:
        self._reader = reader
        self._news = news
        self._readership = readership
        self._pages = CustomerPages(reader, news)
        self._reading = asyncio.Lock()
        self._read: tuple[float, Snapshot] | None = None

    def pages(self) -> Sequence[ConsolePage]:
        return [
            ConsolePage(HOME, self.home, customers=True),
            ConsolePage(f"{HOME}/{{language}}", self.home, customers=True),
            ConsolePage(f"{HOME}/{{language}}/{{path:path}}", self.shown, customers=True),
        ]

    async def home(self, request: Request) -> Response:
        """In the language that the browser asks for."""
        languages = offered(shell_of(request).site().languages)
        return RedirectResponse(
            f"{HOME}/{negotiated(request.headers.get('accept-language', ''), languages)}/", 303
        )

    async def shown(self, request: Request) -> Response:
        """The page at that path, made of nothing but what this customer may see."""
        language, path = request.path_params["language"], request.path_params["path"]
        site = shell_of(request).site()
        key = _customer(session_of(request))
        holder = self._readership().holders.get(key)
        if key and holder is None:
            return page(request, "customer.html")
        if holder is None or language not in offered(site.languages):
            return problem(request, 404, "There is no such page.")
        query = {name: text for name in _QUERY if (text := request.query_params.get(name, ""))}
        if any(len(text) > _LONGEST_VALUE for text in query.values()):
            return problem(request, 400, "That is no such range.")
        try:
            visit = Visit(
                await self._whole(request),
                holder,
                site,
                _assets(site.colours.accent),
                language,
                f"{HOME}/{{language}}",
                shell_of(request).clock.now(),
                origin=(site.url or "").rstrip("/"),
                account="/account",
            )
            html = await self._pages.page(visit, path, query)
        except AwayError:
            return problem(request, 503, "The database is away.", "Try again in a minute.")
        except GoneError:
            html = None
        if html is None:
            return problem(request, 404, "There is no such page.")
        return HTMLResponse(html, headers={"content-language": language, "referrer-policy": "no-referrer"})

    async def _whole(self, request: Request) -> Snapshot:
        """What was read not long ago, or is now: reading all of a large estate takes a second."""
        clock = shell_of(request).clock
        async with self._reading:
            if self._read is None or clock.monotonic() - self._read[0] > READ_AGAIN_S:
                whole = await read_whole(self._reader, self._news, self._readership)
                self._read = clock.monotonic(), whole
            return self._read[1]


def _customer(view: SessionView) -> str:
    return view.account.customer or ""


def _assets(accent: str) -> Assets:
    """The site's own stylesheets, which the console has at the same addresses; no script and no logo."""
    style, colours, _ = stylesheets(accent)
    return Assets(style, colours, script="")

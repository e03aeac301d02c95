"""What the pages with forms share: whom they answer, in which words, and what they say when it goes wrong."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlencode

from starlette.requests import Request

from holdfast.availability.views import Overview
from holdfast.communication.model import Channel
from holdfast.communication.subscribing import SubscriptionDesk
from holdfast.interfaces.site.forms import FormSeal
from holdfast.interfaces.site.limits import Throttles, throttles
from holdfast.interfaces.site.publisher import Publisher
from holdfast.interfaces.site.readership import Readership, cut_overview
from holdfast.interfaces.site.rendering import Renderer
from holdfast.interfaces.site.responses import HTML, Answer, Headers, security_headers
from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import HoldfastError, Remedy
from holdfast.kernel.vault import Vault

WITHIN_S = 10.0
# Not no-referrer: a browser would then hide from us, too, which page a form was sent from.
SECURITY = security_headers(referrer="same-origin")
NOINDEX: Headers = [(b"x-robots-tag", b"noindex, nofollow")]
T = TypeVar("T")


class AwayError(Exception):
    """The database is away."""


@dataclass(frozen=True, slots=True)
class Subscribing:
    """What the pages work with. `channels` is asked anew each time; without any nobody can subscribe now."""

    desk: SubscriptionDesk
    vault: Vault
    channels: Callable[[], Sequence[Channel]]
    seal: FormSeal | None = None
    limits: Throttles | None = None


class FormPages:
    """One group of such pages."""

    def __init__(
        self,
        subscribing: Subscribing,
        publisher: Publisher,
        readership: Callable[[], Readership],
        clock: Clock,
    ) -> None:
        self.desk = subscribing.desk
        self.vault = subscribing.vault
        self.channels = subscribing.channels
        self.seal = subscribing.seal or FormSeal(subscribing.vault, clock)
        self.limits = subscribing.limits or throttles(clock)
        self._publisher = publisher
        self.readership = readership

    def renderer(self, request: Request) -> Renderer | None:
        """None for a language that the site does not speak."""
        return self._publisher.edition.renderers.get(request.path_params["language"])

    def overview(self, customer: str | None) -> Overview | None:
        """What may be chosen: the public components, or a customer's own."""
        edition = self._publisher.edition
        if customer is None or edition.whole is None:
            return edition.snapshot.overview if edition.snapshot else None
        holder = self.readership().holders.get(customer)
        theirs = holder.component_ids if holder else frozenset[int]()
        return cut_overview(edition.whole.overview, lambda each: each in theirs)

    def problem(self, request: Request, status: int) -> Answer:
        """A page about a problem, in the visitor's language. Never stored."""
        renderers = self._publisher.edition.renderers
        renderer = self.renderer(request) or next(iter(renderers.values()))
        headers: Headers = [(b"content-language", renderer.t.language.encode()), *NOINDEX]
        if status in {429, 503}:
            headers.append((b"retry-after", b"30" if status == 503 else b"120"))
        heading, text = _problem(renderer, status)
        html = renderer.page("problem.html", "", heading=heading, text=text, stale=None, known=None)
        return Answer(
            html, HTML, status=status, cache="private, no-store", headers=headers, security=SECURITY
        )


def page_of(html: str, renderer: Renderer, *, status: int = 200, secret: bool = False) -> Answer:
    """A page with a form, which is never stored. `secret`: who has its address may do what it does."""
    headers: Headers = [(b"content-language", renderer.t.language.encode())]
    return Answer(
        html,
        HTML,
        status=status,
        cache="private, no-store",
        headers=headers + (NOINDEX if secret else []),
        security=SECURITY,
        quality=4,
    )


def see(path: str, **query: str) -> Answer:
    """Look there: a page that can be loaded again without sending the form again."""
    location = f"{path}?{urlencode(query)}".encode()
    return Answer(
        b"",
        "text/plain; charset=utf-8",
        status=303,
        cache="private, no-store",
        headers=[(b"location", location), *NOINDEX],
        security=SECURITY,
    )


def path_of(request: Request, renderer: Renderer) -> str:
    """The page's address without its language, for the language switch."""
    return request.url.path.removeprefix(f"/{renderer.t.language}/")


async def within(work: Awaitable[T]) -> T:
    """Bounds work of the database in time. Raises AwayError when it is away."""
    try:
        async with asyncio.timeout(WITHIN_S):
            return await work
    except (TimeoutError, OSError) as error:
        raise AwayError from error
    except HoldfastError as error:
        if error.remedy is Remedy.TRANSIENT:
            raise AwayError from error
        raise


def _problem(renderer: Renderer, status: int) -> tuple[str, str]:
    """The heading and the text of a page about a problem."""
    _ = renderer.t.gettext
    told = {
        404: (_("There is no such page"), _("It may have been renamed or removed.")),
        429: (_("Too many requests at the moment"), _("Please try again in a few minutes.")),
        503: (
            _("Subscriptions cannot be changed at the moment"),
            _("Nothing was stored. Please try again in a minute."),
        ),
    }
    fallback = (
        _("This form could not be taken"),
        _("Nothing was stored. Please load the page again, and send the form from there."),
    )
    return told.get(status, fallback)


def name_of(channel: Channel, renderer: Renderer) -> str:
    names = {
        Channel.MAIL: renderer.t.gettext("E-mail"),
        Channel.WEBHOOK: "Webhook",
        Channel.SLACK: "Slack",
        Channel.TEAMS: "Microsoft Teams",
    }
    return names[channel]


def without_secrets(path: str) -> str:
    """A path that may be logged: what a secret link holds is its owner's."""
    return re.sub(r"(/(?:subscriptions/\w+|customers|agreements)/)[^/]+", r"\1...", path)

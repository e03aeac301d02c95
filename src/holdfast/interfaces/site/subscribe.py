"""The pages where visitors ask to be told: a form without script, cookie or login.

    ask --a message to the address--> confirm --> manage --> ended      (the rest is in subscriptions.py)

Whoever asks is answered the same, whether the address is known or not, was reached or not, or was asked too
often. A customer asks on its private pages, and is told of what only it may know, too.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.routing import Route

from holdfast.communication.errors import BadAddress, NotPossible
from holdfast.communication.model import Channel, Scope
from holdfast.interfaces.site.choices import choices_of, scope_of
from holdfast.interfaces.site.form_pages import (
    AwayError,
    FormPages,
    Subscribing,
    name_of,
    page_of,
    see,
    within,
)
from holdfast.interfaces.site.forms import Fields, FormRefused, Sealed, fields_of, first, is_from_our_pages
from holdfast.interfaces.site.limits import client_of, host_of, mailbox_of, unnamed
from holdfast.interfaces.site.publisher import Publisher
from holdfast.interfaces.site.readership import Readership
from holdfast.interfaces.site.rendering import Frame, Renderer
from holdfast.interfaces.site.responses import Answer
from holdfast.interfaces.site.secret_pages import named_by
from holdfast.interfaces.site.subscriptions import SubscriptionPages
from holdfast.kernel.clock import Clock

PLACES = ("/{language}", "/{language}/customers/{token}")
"""Where the form is: for everybody, and for a customer on its private pages."""
LONGEST_ADDRESS = 2000
MOST_TICKED = 50
"""Boxes that a link of ours ticks beforehand."""
_POSTED = re.compile(
    r"/[a-z]{2,3}/(subscribe|customers/[^/]{1,200}/subscribe|"
    r"subscriptions/(confirm|manage|unsubscribe)/[\w-]{1,100})",
    re.ASCII,
)


def subscribe_pages(
    subscribing: Subscribing,
    publisher: Publisher,
    readership: Callable[[], Readership],
    clock: Clock,
    page_links: Callable[[], Mapping[str, str]],
) -> list[Route]:
    """All pages about subscriptions. `page_links` has the secret of each customer's private page."""
    asking = AskPages(subscribing, publisher, readership, clock)
    asking.page_links = page_links
    return [*asking.routes(), *SubscriptionPages(subscribing, publisher, readership, clock).routes()]


def takes_forms(path: str) -> bool:
    """Whether a form may be posted to this address."""
    return _POSTED.fullmatch(path) is not None


@dataclass(slots=True)
class _Filled:
    """What a visitor had filled in when the form comes back, and why it does."""

    address: str = ""
    scope: Scope = field(default_factory=Scope)
    error: str = ""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where somebody asks: among whose pages, in which words."""

    renderer: Renderer
    customer: str | None = None

    def path(self, rest: str = "") -> str:
        return f"{self.renderer.home}/subscribe{rest}"


class AskPages(FormPages):
    """The router's endpoints for everybody."""

    page_links: Callable[[], Mapping[str, str]] = dict

    def routes(self) -> list[Route]:
        return [
            *(Route(f"{each}/subscribe", self._subscribe, methods=["GET", "POST"]) for each in PLACES),
            *(Route(f"{each}/subscribe/sent", self._sent) for each in PLACES),
            Route(f"{PLACES[0]}/subscribe/webhooks", self._webhooks),
        ]

    def _place(self, request: Request) -> _Place | None:
        """None where there is no such place: a language that is not spoken, a link that is nobody's."""
        renderer, token = self.renderer(request), request.path_params.get("token")
        if renderer is None or token is None:
            return None if renderer is None else _Place(renderer)
        key = named_by(token, self.page_links())
        holder = None if key is None else self.readership().holders.get(key)
        if holder is None:
            return None
        frame = Frame(f"/{{language}}/customers/{token}", private=True, customer=holder.name)
        language, site, assets = renderer.t.language, renderer.site, renderer.assets
        return _Place(Renderer(language, site, assets, frame), holder.key)

    async def _subscribe(self, request: Request) -> Answer:
        place, channels = self._place(request), self.channels()
        if place is None or not channels:
            return self.problem(request, 404)
        if request.method != "POST":
            channel = _channel(request.query_params.get("channel", ""), channels)
            return self._form(place, channel, _Filled(scope=self._asked_for(request, place)))
        try:
            fields = await fields_of(request)
        except FormRefused as error:
            return self.problem(request, error.status)
        if not is_from_our_pages(request, place.renderer.site.url):
            return self.problem(request, 403)
        return await self._asked(request, place, _channel(first(fields, "channel"), channels), fields)

    async def _asked(self, request: Request, place: _Place, channel: Channel, fields: Fields) -> Answer:
        _ = place.renderer.t.gettext
        address = first(fields, "address").strip()[: LONGEST_ADDRESS + 1]
        filled = _Filled(address, scope_of(self.overview(place.customer), fields))
        sent = see(place.path("/sent"), channel=channel.value)
        if first(fields, "website"):
            return sent  # only programs see that field
        if self.seal.judge(first(fields, "seal")) is not Sealed.GOOD:
            filled.error = _("Please check what you entered, and send the form once more.")
        elif not filled.scope.topics:
            filled.error = _("Choose at least one kind of message.")
        if filled.error:
            return self._form(place, channel, filled)
        if not self.limits.asking.allows(client_of(request.scope)):
            return self.problem(request, 429)
        return await self._ask(request, place, channel, filled) or sent

    async def _ask(self, request: Request, place: _Place, channel: Channel, filled: _Filled) -> Answer | None:
        """The answer when something is wrong. That an address was asked often enough is nobody's business."""
        if not self._spares(channel, filled.address):
            return None
        if not self.limits.everybody.allows("everybody"):
            return self.problem(request, 429)
        t = place.renderer.t
        wish = (channel, filled.address, t.language, filled.scope, place.customer)
        try:
            await within(self.desk.subscribe(*wish))
        except BadAddress:
            filled.error = _wrong(channel, place.renderer)
        except NotPossible:
            filled.error = t.gettext("Too many components: choose whole clusters, or everything.")
        except AwayError:
            return self.problem(request, 503)
        return self._form(place, channel, filled) if filled.error else None

    def _spares(self, channel: Channel, address: str) -> bool:
        """Whether nobody gets too much by one more request to that address."""
        if channel is Channel.MAIL:
            return self.limits.target.allows(unnamed(mailbox_of(address)))
        # The hosts of Slack and Teams are everybody's.
        shared = channel is not Channel.WEBHOOK
        return self.limits.target.allows(unnamed(address)) and (
            shared or self.limits.host.allows(host_of(address))
        )

    def _form(self, place: _Place, channel: Channel, filled: _Filled) -> Answer:
        renderer = place.renderer
        html = renderer.page(
            "subscribe.html",
            f"subscribe?{urlencode({'channel': channel.value})}",
            section="subscribe",
            offered=[(each.value, name_of(each, renderer)) for each in self.channels()],
            channel=channel.value,
            choices=choices_of(self.overview(place.customer), filled.scope),
            filled=filled,
            seal=self.seal.fresh(),
        )
        status = 400 if filled.error else 200
        return page_of(html, renderer, status=status, secret=place.customer is not None)

    async def _sent(self, request: Request) -> Answer:
        place = self._place(request)
        if place is None:
            return self.problem(request, 404)
        channel = _channel(request.query_params.get("channel", ""), tuple(Channel))
        path = f"subscribe/sent?{urlencode({'channel': channel.value})}"
        html = place.renderer.page("subscribe_sent.html", path, section="subscribe", channel=channel.value)
        return page_of(html, place.renderer, secret=place.customer is not None)

    async def _webhooks(self, request: Request) -> Answer:
        renderer = self.renderer(request)
        if renderer is None:
            return self.problem(request, 404)
        return page_of(renderer.page("subscribe_webhooks.html", "subscribe/webhooks"), renderer)

    def _asked_for(self, request: Request, place: _Place) -> Scope:
        """The boxes that a link of ours ticks beforehand."""
        names = ("cluster", "component", "topic")
        fields = {name: request.query_params.getlist(name)[:MOST_TICKED] for name in names}
        scope = scope_of(self.overview(place.customer), fields)
        return scope if scope.topics else Scope(Scope().topics, scope.component_ids, scope.cluster_keys)


def _channel(text: str, channels: Sequence[Channel]) -> Channel:
    return next((each for each in channels if each.value == text), channels[0])


def _wrong(channel: Channel, renderer: Renderer) -> str:
    _ = renderer.t.gettext
    return {
        Channel.MAIL: _("This is no mail address: it looks like name@example.org."),
        Channel.WEBHOOK: _(
            "This address cannot be used: it must begin with https:// and lead to the open Internet."
        ),
        Channel.SLACK: _("This is no incoming webhook of Slack: it begins with https://hooks.slack.com/."),
        Channel.TEAMS: _("This is no webhook of Microsoft Teams: copy the address of a workflow there."),
    }[channel]

"""The pages that links in messages lead to: confirm a subscription, change it, end it.

Such a link is all the authority there is: its pages are stored nowhere, sent on to nobody, and do nothing
until a button is pressed, for programs that scan mails open every link.
"""

from starlette.requests import Request
from starlette.routing import Route

from holdfast.communication.errors import NotPossible
from holdfast.communication.model import Channel, Scope, Standing, Subscription
from holdfast.communication.signing import signing_secret
from holdfast.interfaces.messages.links import CONFIRM, MANAGE, UNSUBSCRIBE
from holdfast.interfaces.site.choices import choices_of, scope_of
from holdfast.interfaces.site.form_pages import AwayError, FormPages, name_of, page_of, path_of, see, within
from holdfast.interfaces.site.forms import (
    MULTIPART,
    URLENCODED,
    Fields,
    FormRefused,
    body_of,
    fields_of,
    first,
    is_from_our_pages,
)
from holdfast.interfaces.site.limits import unnamed
from holdfast.interfaces.site.rendering import Renderer
from holdfast.interfaces.site.responses import Answer

_ONE_CLICK = (b"List-Unsubscribe", b"One-Click")


class SubscriptionPages(FormPages):
    """The router's endpoints for those who hold a link."""

    def routes(self) -> list[Route]:
        both = ["GET", "POST"]
        return [
            Route(CONFIRM, self._confirm, methods=both),
            Route(MANAGE, self._manage, methods=both),
            Route(UNSUBSCRIBE, self._unsubscribe, methods=both),
        ]

    async def _confirm(self, request: Request) -> Answer:
        renderer, token = self.renderer(request), request.path_params["token"]
        if renderer is None or not self._may(request, token):
            return self.problem(request, 404 if renderer is None else 429)
        if request.method == "POST" and not is_from_our_pages(request, renderer.site.url):
            return self.problem(request, 403)
        ask = self.desk.confirm if request.method == "POST" else self.desk.to_confirm
        try:
            found = await within(ask(token))
        except AwayError:
            return self.problem(request, 503)
        if found is None:
            return self._lapsed(renderer, request)
        if request.method == "POST":
            manage = MANAGE.format(language=renderer.t.language, token=self.desk.manage_token_of(found.id))
            return see(manage, done="confirmed")
        html = renderer.page(
            "subscription_confirm.html",
            path_of(request, renderer),
            channel=name_of(found.channel, renderer),
            choices=choices_of(self.overview(found.customer), found.scope),
        )
        return page_of(html, renderer, secret=True)

    async def _manage(self, request: Request) -> Answer:
        renderer, token = self.renderer(request), request.path_params["token"]
        if renderer is None or not self._may(request, token):
            return self.problem(request, 404 if renderer is None else 429)
        try:
            found = await within(self.desk.subscription(token))
            if found is None:
                return self._lapsed(renderer, request)
            if request.method != "POST":
                return self._managed(renderer, request, found)
            fields = await fields_of(request)
            if not is_from_our_pages(request, renderer.site.url):
                return self.problem(request, 403)
            return await self._change(request, renderer, token, found, fields)
        except FormRefused as error:
            return self.problem(request, error.status)
        except AwayError:
            return self.problem(request, 503)

    async def _change(
        self, request: Request, renderer: Renderer, token: str, found: Subscription, fields: Fields
    ) -> Answer:
        if first(fields, "action") == "end":
            await within(self.desk.end(token))
            return self._ended(renderer, request)
        language = first(fields, "language")
        if language not in renderer.languages:
            language = renderer.t.language
        here = MANAGE.format(language=language, token=token)
        if first(fields, "action") == "resume":
            resumed = await within(self.desk.resume(token))
            return self._lapsed(renderer, request) if resumed is None else see(here, done="confirmed")
        scope = scope_of(self.overview(found.customer), fields, keep=found.scope)
        error = "" if scope.topics else renderer.t.gettext("Choose at least one kind of message.")
        try:
            changed = None if error else await within(self.desk.change(token, scope, language))
        except NotPossible:
            error = renderer.t.gettext("Too many components: choose whole clusters, or everything.")
        if error:
            return self._managed(renderer, request, found, scope, error)
        return self._lapsed(renderer, request) if changed is None else see(here, done="changed")

    def _managed(
        self,
        renderer: Renderer,
        request: Request,
        found: Subscription,
        scope: Scope | None = None,
        error: str = "",
    ) -> Answer:
        is_signed = found.channel is Channel.WEBHOOK and found.standing is not Standing.PENDING
        html = renderer.page(
            "subscription.html",
            path_of(request, renderer),
            channel=name_of(found.channel, renderer),
            choices=choices_of(self.overview(found.customer), scope or found.scope),
            standing=found.standing.value,
            written_in=found.language,
            secret=signing_secret(self.vault, found.id) if is_signed else "",
            done=request.query_params.get("done", ""),
            error=error,
        )
        return page_of(html, renderer, status=400 if error else 200, secret=True)

    async def _unsubscribe(self, request: Request) -> Answer:
        """RFC 8058: a POST of one line ends it, without redirect or cookie, from whatever page it comes."""
        renderer, token = self.renderer(request), request.path_params["token"]
        if renderer is None or not self._may(request, token):
            return self.problem(request, 404 if renderer is None else 429)
        if request.method != "POST":
            html = renderer.page("subscription_end.html", path_of(request, renderer))
            return page_of(html, renderer, secret=True)
        try:
            body = await body_of(request, (URLENCODED, MULTIPART))
            if not all(each in body for each in _ONE_CLICK):
                return self.problem(request, 400)
            await within(self.desk.end(token))
        except FormRefused as error:
            return self.problem(request, error.status)
        except AwayError:
            return self.problem(request, 503)
        return self._ended(renderer, request)

    def _ended(self, renderer: Renderer, request: Request) -> Answer:
        html = renderer.page("subscription_ended.html", path_of(request, renderer))
        return page_of(html, renderer, secret=True)

    def _lapsed(self, renderer: Renderer, request: Request) -> Answer:
        html = renderer.page("subscription_lapsed.html", path_of(request, renderer))
        return page_of(html, renderer, status=404, secret=True)

    def _may(self, request: Request, token: str) -> bool:
        """A link that was never sent costs nothing but arithmetic; one that is real may cost the database."""
        return self.limits.holder.allows((request.url.path.rpartition("/")[0], unnamed(token)))

"""What every page of the console is made with.

A page is declared with the right that it needs, and the shell does the rest before the page's own code runs:
who is logged in, whether they may, the form within its bounds, and its token. Nothing is open by forgetting.

    ConsolePage("/incidents", incidents, Right.READ, title="Incidents")
    ConsolePage("/incidents/new", declare, Right.INCIDENTS, methods=("GET", "POST"))

    async def declare(request: Request) -> Response:
        if request.method == "GET":
            return page(request, "incident_new.html")
        fields = form(request)
        incident = await desk.declare(..., actor_of(request).name)
        return redirect(request, f"/incidents/{incident.id}", told="The incident is public.")

Each form has `{{ csrf_field }}`. `title` puts a page into the navigation, for those who may see it.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, wraps
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from holdfast.estate.communication import Console
from holdfast.estate.model import Site, zone
from holdfast.identity.desk import IdentityDesk
from holdfast.identity.errors import NotAllowed, Refused
from holdfast.identity.model import NEEDS, SCOPES, Actor, Right, Role, SessionView
from holdfast.identity.sessions import csrf_of, fresh_secret
from holdfast.interfaces.console.assets import stylesheets
from holdfast.interfaces.console.bodies import Form
from holdfast.interfaces.console.cookies import cookie_of, drop_cookie, keep_cookie
from holdfast.interfaces.site.i18n import Translator
from holdfast.kernel.clock import Clock

Endpoint = Callable[[Request], Awaitable[Response]]
CSRF = "csrf"
_MOST_TOLD = 300


@dataclass(frozen=True, slots=True)
class ConsolePage:
    """An address of the console. Without a right it is for everybody who is logged in.

    `customers` opens it to accounts that are bound to a customer, who see nothing else; `anonymous` to
    everybody; `unfinished` to who still has to set up a second factor. It stands in the navigation while
    `listed` says so: what the estate in force does not have leads nobody astray.
    """

    path: str
    endpoint: Endpoint
    right: Right | None = None
    methods: tuple[str, ...] = ("GET",)
    title: str = ""
    about: str = ""
    customers: bool = False
    anonymous: bool = False
    unfinished: bool = False
    listed: Callable[[], bool] = lambda: True


@dataclass(frozen=True, slots=True)
class Shell:
    """What pages share. It is `request.app.state.shell`."""

    identity: IdentityDesk
    clock: Clock
    settings: Callable[[], Console]
    site: Callable[[], Site]
    pages: Sequence[ConsolePage]


# --- for pages


def page(request: Request, template: str, *, status: int = 200, **context: object) -> Response:
    """A page out of a template of the console, with all that the layout needs. Never cached."""
    shell = shell_of(request)
    site, view = shell.site(), session_or_none(request)
    told = _told(request)
    csrf = csrf_expected(request)
    ways = navigation(shell.pages, view)
    body = (
        _environment()
        .get_template(template)
        .render(
            {
                "request": request,
                "site": site,
                "t": Translator("en", zone(site.time_zone)),
                "view": view,
                "may": (lambda right: right in view.actor.rights) if view is not None else (lambda _: False),
                "navigation": ways,
                "here": _way_to(request.url.path, ways),
                "path": request.url.path,
                "told": told,
                "csrf_field": Markup('<input type="hidden" name="{}" value="{}">').format(CSRF, csrf),
                "styles": stylesheets(site.colours.accent),
                "now": shell.clock.now(),
                "title": "",
                **context,
            }
        )
    )
    response = HTMLResponse(body, status)
    if told is not None:
        drop_cookie(request, response, "told")
    fresh = getattr(request.state, "fresh_visit", "")
    if fresh and view is None:
        keep_cookie(request, response, "visit", fresh, lasting_s=86_400)
    return response


def redirect(request: Request, path: str, *, told: str = "", trouble: bool = False) -> Response:
    """On to another page of ours with GET, where `told` is said once."""
    response = RedirectResponse(quote(path, safe="/?&=%#+:@~,;"), 303)
    cookie = cookie_of(request, "session")
    if told and cookie:
        said = base64.urlsafe_b64encode(json.dumps([told[:_MOST_TOLD], trouble]).encode()).decode()
        keep_cookie(request, response, "told", f"{said}.{_signature(cookie, said)}", lasting_s=60)
    return response


def form(request: Request) -> Form:
    """The form that came with a POST: read within bounds, and its token checked, before the page began."""
    fields: Form = request.state.form
    return fields


def session_of(request: Request) -> SessionView:
    """Who is logged in. Raises Refused on a page for everybody, when nobody is."""
    view = session_or_none(request)
    if view is None:
        raise Refused("you are not logged in")
    return view


def session_or_none(request: Request) -> SessionView | None:
    view: SessionView | None = getattr(request.state, "session", None)
    return view


def actor_of(request: Request) -> Actor:
    """Who does it, as the journal names them."""
    return session_of(request).actor


def require(right: Right) -> Callable[[Endpoint], Endpoint]:
    """For a part of a page that needs more than the page itself: raises NotAllowed (403) without it."""

    def decorated(endpoint: Endpoint) -> Endpoint:
        @wraps(endpoint)
        async def allowed(request: Request) -> Response:
            check_right(request, right)
            return await endpoint(request)

        return allowed

    return decorated


def check_right(request: Request, right: Right) -> None:
    """Raises NotAllowed."""
    actor = actor_of(request)
    if not actor.may(right):
        raise NotAllowed(f"this needs the role {NEEDS[right].label}")


def address_of(request: Request) -> str:
    """Whence a request comes."""
    return request.client.host if request.client is not None else ""


def shell_of(request: Request) -> Shell:
    shell: Shell = request.app.state.shell
    return shell


def problem(request: Request, status: int, message: str, hint: str = "", **context: object) -> Response:
    """A page about what went wrong, in a sentence and what to do next."""
    return page(request, "problem.html", status=status, message=message, hint=hint, **context)


def csrf_expected(request: Request) -> str:
    """The token that a form of this browser carries: of its session, or else of its visit."""
    view = session_or_none(request)
    return view.csrf if view is not None else csrf_of(_visit(request))


def navigation(pages: Sequence[ConsolePage], view: SessionView | None) -> list[ConsolePage]:
    """What this person finds at the top of each page."""
    if view is None or not view.confirmed:
        return []
    return [each for each in pages if each.title and is_open_to(each, view) and each.listed()]


def _way_to(path: str, ways: Sequence[ConsolePage]) -> str:
    """Which of them an address belongs to: the one that says most of it. Empty for none."""
    found = [
        each.path
        for each in ways
        if path == each.path or (each.path != "/" and path.startswith(f"{each.path}/"))
    ]
    return max(found, key=len, default="")


def is_open_to(declared: ConsolePage, view: SessionView) -> bool:
    if view.account.customer is not None:
        return declared.customers
    return declared.right is None or declared.right in view.actor.rights


def _visit(request: Request) -> str:
    """The secret of a browser in which nobody is logged in, for the token of the login form."""
    known = cookie_of(request, "visit") or getattr(request.state, "fresh_visit", "")
    if not known:
        known = request.state.fresh_visit = fresh_secret()
    return str(known)


def _told(request: Request) -> tuple[str, bool] | None:
    """What the page before wanted said; nothing that anybody else wrote into the cookie."""
    said, _, signature = cookie_of(request, "told").rpartition(".")
    cookie = cookie_of(request, "session")
    if not said or not cookie or not hmac.compare_digest(signature, _signature(cookie, said)):
        return None
    text, trouble = json.loads(base64.urlsafe_b64decode(said))
    return str(text), bool(trouble)


def _signature(cookie: str, said: str) -> str:
    return hmac.new(cookie.encode(), said.encode(), hashlib.sha256).hexdigest()[:32]


def sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith((".", "!", "?")) else ".") if text else ""


@lru_cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
        auto_reload=False,
    )
    t = Translator("en", zone("UTC"))
    environment.install_gettext_callables(t.gettext, t.ngettext, newstyle=True)  # type: ignore[attr-defined]
    environment.filters["sentence"] = sentence
    environment.globals.update(Right=Right, Role=Role, SCOPES=SCOPES, any_of=any)
    return environment

"""The feeds of the whole site, ready made: made again only when something in them is another."""

from collections.abc import Mapping, Sequence

from holdfast.availability.views import Overview
from holdfast.communication.model import Maintenance, Place
from holdfast.interfaces.site.calendar import MEDIA_TYPE, calendar_of
from holdfast.interfaces.site.feeds import feeds_of, origin_of
from holdfast.interfaces.site.rendering import Renderer
from holdfast.interfaces.site.responses import SANDBOXED, Answer, security_headers
from holdfast.interfaces.site.snapshot import Snapshot
from holdfast.interfaces.site.wording import all_components

_SECURITY = security_headers(policy=SANDBOXED, shared=True)


class FeedShelf:
    """Keeps what it made last."""

    def __init__(self) -> None:
        self._key: object = None
        self._pages: Mapping[str, Answer] = {}

    def pages(self, snapshot: Snapshot, renderers: Mapping[str, Renderer]) -> Mapping[str, Answer]:
        """Every address with its answer, of a snapshot for everybody."""
        # Renderers are compared too: another title, time zone or address makes other ones.
        key = snapshot.news.versions, places_in(snapshot.overview), list(renderers.values())
        if key != self._key:
            self._pages = {
                f"/{language}/{name}": answer
                for language, renderer in renderers.items()
                for name, answer in _made(snapshot, renderer).items()
            }
            self._key = key
        return self._pages


def _made(snapshot: Snapshot, renderer: Renderer) -> dict[str, Answer]:
    feeds = {f"feed.{kind}": answer for kind, answer in feeds_of(snapshot, renderer).items()}
    planned = snapshot.news.maintenance
    return feeds | {"maintenance.ics": calendar_answer(planned, snapshot.overview, renderer)}


def calendar_answer(
    maintenance: Sequence[Maintenance], overview: Overview, renderer: Renderer, name: str = ""
) -> Answer:
    """The maintenance as a calendar, of the whole site or of the part of that name."""
    _ = renderer.t.gettext
    title = f"{renderer.site.title} · {name}" if name else renderer.site.title
    home = f"{origin_of(renderer)}{renderer.home}"
    content = calendar_of(
        maintenance,
        places_in(overview),
        renderer.t,
        name=f"{title}: {_('Maintenance')}",
        url_of=lambda each: f"{home}/maintenance/{each}",
    )
    return Answer(
        content,
        f"{MEDIA_TYPE}; charset=utf-8",
        security=_SECURITY,
        headers=[(b"access-control-allow-origin", b"*")],
    )


def places_in(overview: Overview) -> dict[int, Place]:
    """Every component of the overview as notices name it."""
    return {
        each.status.id: Place(cluster.key, cluster.name, each.status.key, each.status.name)
        for cluster, each in all_components(overview)
    }

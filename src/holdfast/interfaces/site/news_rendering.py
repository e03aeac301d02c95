"""The pages of incidents and maintenance: one of them, and a month of them."""

from datetime import date, datetime

from holdfast.availability.views import Overview
from holdfast.communication.model import Incident, Maintenance
from holdfast.communication.news import News
from holdfast.interfaces.site.ranges import neighbours
from holdfast.interfaces.site.rendering import Renderer, Staleness


class NewsRenderer:
    """Adds them to a site's renderer. `overview` gives components their names; those without stay unnamed."""

    def __init__(self, renderer: Renderer, *, under: str = "") -> None:
        """`under` is what their addresses begin with below the renderer's home, such as `agreements/abc/`."""
        self._renderer = renderer
        self._under = under

    def incident(
        self, incident: Incident, overview: Overview, at: datetime, stale: Staleness | None = None
    ) -> str:
        return self._renderer.page(
            "incident.html",
            f"{self._under}incidents/{incident.id}",
            section="incidents",
            live=True,
            stale=stale,
            at=at,
            told=self._renderer.teller(overview).incident(incident),
        )

    def maintenance(
        self, maintenance: Maintenance, overview: Overview, at: datetime, stale: Staleness | None = None
    ) -> str:
        return self._renderer.page(
            "maintenance.html",
            f"{self._under}maintenance/{maintenance.id}",
            live=True,
            stale=stale,
            at=at,
            told=self._renderer.teller(overview).work(maintenance),
        )

    def month(
        self,
        news: News,
        overview: Overview,
        first: date,
        at: datetime,
        stale: Staleness | None = None,
    ) -> str:
        """The incidents and the maintenance of a calendar month."""
        renderer, teller = self._renderer, self._renderer.teller(overview)
        previous, following = neighbours(first, at, renderer.t.zone)
        return renderer.page(
            "incidents.html",
            f"incidents?month={first:%Y-%m}",
            section="incidents",
            live=True,
            stale=stale,
            at=at,
            first=first,
            previous=previous,
            following=following,
            month_href=lambda each: f"{renderer.home}/incidents?month={each:%Y-%m}",
            incidents=teller.incidents(news.open_incidents),
            over=teller.incidents(each for each in news.incidents if not each.is_open),
            works=teller.works(news.maintenance),
        )

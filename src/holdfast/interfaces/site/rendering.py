"""Turns views into pages. Pure but for the templates: no database, no clock, no request."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from holdfast.availability.model import State
from holdfast.availability.sla import FORMULA, Figure
from holdfast.availability.views import (
    ClusterStatus,
    ComponentHistory,
    ComponentStatus,
    Day,
    Event,
    Overview,
)
from holdfast.communication.news import News
from holdfast.estate.model import Site
from holdfast.interfaces.site import bars, charts
from holdfast.interfaces.site.i18n import NAMES, Translator, offered
from holdfast.interfaces.site.telling import Calendar, Links, Named, Teller, about, places_of
from holdfast.interfaces.site.wording import (
    SHOWN,
    Shown,
    Words,
    is_told,
    measured,
    shown,
    worst_shown,
)

MOST_EVENTS_A_DAY = 20
MOST_EVENTS = 200
_RECENT_DAYS = 7
_FEW_CLUSTERS = 4


@dataclass(frozen=True, slots=True)
class Assets:
    """Where the page finds its stylesheet, its colours, its script and the operator's logo.

    `subscribable`: it may offer to subscribe. Without a script a page is not live.
    """

    style: str
    theme: str
    script: str
    logo: str | None = None
    subscribable: bool = False


@dataclass(frozen=True, slots=True)
class Staleness:
    """The database is away: what is shown was known at `at`, `age` before now. `loud` beyond two minutes."""

    at: datetime
    age: timedelta

    @property
    def loud(self) -> bool:
        return self.age > timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a set of pages lives: the site for everybody, or what one customer may see.

    `home` is what its addresses begin with, with the language in braces. `site` is the origin of the public
    site for pages that live on another one, and `account` their reader's own page there. Private ones are for
    no search engine and send no referrer.
    """

    home: str = "/{language}"
    private: bool = False
    customer: str = ""
    site: str = ""
    account: str = ""

    def at(self, language: str) -> str:
        return self.home.replace("{language}", language)


PUBLIC = Frame()
Told = tuple[str, str, Event, Named | None]
"""An event as a list shows it: the component's name, its page, what happened, and the incident about it."""


@lru_cache
def _environment(language: str) -> Environment:
    environment = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
        auto_reload=False,
    )
    t = Translator(language, ZoneInfo("UTC"))
    environment.install_gettext_callables(t.gettext, t.ngettext, newstyle=True)  # type: ignore[attr-defined]
    environment.globals.update(
        shown=shown,
        measured=measured,
        is_told=is_told,
        worst_shown=worst_shown,
        look=lambda state: SHOWN[state].value,
        bar_of=bars.bar_of,
        formula=FORMULA,
        language_names=NAMES,
        timedelta=timedelta,
        State=State,
        Shown=Shown,
    )
    for name in environment.list_templates():
        # Compiled now, so that no visitor waits for it.
        environment.get_template(name)
    return environment


class Renderer:
    """Renders every page of one site in one language."""

    def __init__(self, language: str, site: Site, assets: Assets, frame: Frame = PUBLIC) -> None:
        self.frame = frame
        self.home = frame.at(language)
        self.t = Translator(language, ZoneInfo(site.time_zone))
        self.words = Words(self.t)
        self.site = site
        self.assets = assets
        self.languages = offered(site.languages)
        self._environment = _environment(language)

    def overall(
        self,
        overview: Overview,
        stale: Staleness | None = None,
        news: News | None = None,
        agreements: Mapping[str, str] | None = None,
    ) -> str:
        """`agreements`: on a customer's page the addresses of its reports, with their names."""
        news = news or News()
        state, headline = self.words.headline(overview, news)
        return self.page(
            "overall.html",
            "",
            section="overall",
            live=True,
            stale=stale,
            news=news,
            overview=overview,
            agreements=agreements or {},
            sample=overview.sample,
            state=state,
            headline=headline,
            measured_headline=self.words.headline(overview, state_of=measured)[1],
            few=len(overview.clusters) <= _FEW_CLUSTERS,
            **self.told(overview, news),
            recent=self.recent(overview, overview.clusters, news),
        )

    def cluster(
        self,
        overview: Overview,
        cluster: ClusterStatus,
        stale: Staleness | None = None,
        news: News | None = None,
    ) -> str:
        news = about(news or News(), {each.status.id for each in cluster.components})
        return self.page(
            "cluster.html",
            f"clusters/{cluster.key}",
            live=True,
            stale=stale,
            news=news,
            feeds=[cluster.key],
            overview=overview,
            sample=overview.sample,
            cluster=cluster,
            state=worst_shown(cluster.components),
            **self.told(overview, news),
            recent=self.recent(overview, [cluster], news),
            this_month=self.t.local(overview.at).strftime("%Y-%m"),
        )

    def page(self, template: str, path: str, **context: Any) -> str:
        """Any page: `path` is its address without the language, for the language switch."""
        t: Translator = context.pop("t", self.t)
        words = self.words if t is self.t else Words(t)
        calendar = Calendar(context.pop("news", None) or News(), t)

        def titled(component_id: int) -> bars.Titled:
            return lambda day: words.day_title(day, calendar.of(component_id, day.day))

        base: dict[str, Any] = {
            "section": "",
            "live": False,
            "stale": None,
            "sample": False,
            "feeds": [],
            "switch": lambda language: f"{self.frame.at(language)}/{path}",
            "frame": self.frame,
            "home": self.home,
            "open": f"{self.frame.site}/{self.t.language}",
        }
        return self._environment.get_template(template).render(
            base
            | {
                "t": t,
                "words": words,
                "site": self.site,
                "assets": self.assets,
                "languages": self.languages,
                "path": path,
                "base_url": (self.site.url or "").rstrip("/"),
                "day_row": lambda history: bars.row(
                    history.days, words, self.bars_label(history, t), titled(history.status.id)
                ),
                "calendar": lambda history: bars.calendar(history.days, words, titled(history.status.id)),
                "told_days": lambda history, most: told_days(history, calendar, titled, most),
                "proportion_bar": lambda figure: self.proportion_bar(figure, words),
                "breakdown_of": lambda figure: breakdown(figure, words),
            }
            | context
        )

    def bars_label(self, history: ComponentHistory, t: Translator) -> str:
        """The row of bars in one sentence, for those who do not see it."""
        days = history.days
        troubled = sum(1 for day in days if day.worst is not State.OPERATIONAL and not bars.bar_of(day).empty)
        return t.gettext(
            "%(name)s, %(days)s days: %(availability)s available, %(troubled)s days with events"
        ) % {
            "name": history.status.name,
            "days": len(days),
            "availability": t.availability(history.figure.availability),
            "troubled": troubled,
        }

    def proportion_bar(self, figure: Figure, words: Words) -> Markup:
        parts = breakdown(figure, words)
        total = figure.tally.total or timedelta(1)
        label = ", ".join(f"{name} {share}" for _, name, _, share in parts)
        return charts.proportions([(look, length / total) for look, _, length, _ in parts], label)

    def teller(self, overview: Overview, t: Translator | None = None) -> Teller:
        """Tells of incidents and maintenance, with the names that the overview has."""
        t = t or self.t
        words = self.words if t is self.t else Words(t)
        return Teller(t, words, places_of(overview, self.home), self.home)

    def told(self, overview: Overview, news: News) -> dict[str, list[Any]]:
        """Open incidents, and maintenance `under_way` and still `planned`."""
        teller = self.teller(overview)
        return {
            "incidents": teller.incidents(news.open_incidents),
            "under_way": teller.works(news.under_way),
            "planned": teller.works(news.planned),
        }

    def recent(
        self, overview: Overview, clusters: Sequence[ClusterStatus], news: News
    ) -> list[tuple[date, list[Told], int]]:
        """The last seven local days, newest first: the day, its events, and how many more there were."""
        today = self.t.local(overview.at).date()
        links = self.links(news)
        days: dict[date, list[Told]] = {today - timedelta(days=back): [] for back in range(_RECENT_DAYS)}
        for cluster in clusters:
            for component in cluster.components:
                for day in component.days[-_RECENT_DAYS:]:
                    told = days.get(day.day)
                    if told is not None and not bars.bar_of(day).empty:
                        told += [
                            (
                                *self.named(cluster.name, component.status),
                                event,
                                links.of(component.status.id, event.window),
                            )
                            for event in day.events
                        ]
        result = []
        for day_, told in days.items():
            told.sort(key=lambda each: each[2].window.start, reverse=True)
            result.append((day_, told[:MOST_EVENTS_A_DAY], max(0, len(told) - MOST_EVENTS_A_DAY)))
        return result

    def links(self, news: News) -> Links:
        """The incidents of downtimes, with their pages here."""
        return Links(news.incidents, lambda _: self.home)

    def named(self, cluster_name: str, status: ComponentStatus) -> tuple[str, str]:
        """A component's full name and the address of its page."""
        href = f"{self.home}/clusters/{status.cluster_key}/{status.key}"
        return f"{cluster_name} {status.name}", href


def told_days(
    history: ComponentHistory, calendar: Calendar, titled: Callable[[int], bars.Titled], most: int
) -> list[str]:
    """The titles of the newest days that have something to tell."""
    component_id = history.status.id
    eventful: list[Day] = bars.eventful(history.days, lambda day: calendar.of(component_id, day))
    return [titled(component_id)(day) for day in eventful[:most]]


_ORDER = (
    State.OPERATIONAL,
    State.DEGRADED,
    State.PARTIAL_OUTAGE,
    State.MAJOR_OUTAGE,
    State.UNKNOWN,
)


def breakdown(figure: Figure, words: Words) -> list[tuple[str, str, timedelta, str]]:
    """Where a figure's time went: (class, name, length, share), without what did not happen."""
    tally = figure.tally
    lengths = [(SHOWN[state], tally.of(state)) for state in _ORDER] + [(Shown.MAINTENANCE, tally.excluded)]
    total = tally.total or timedelta(1)
    return [
        (look.value, words.states[look], length, words.t.percent(round(100 * (length / total), 2)))
        for look, length in lengths
        if length or look is Shown.OPERATIONAL
    ]


Renderers = Mapping[str, Renderer]
"""One for each language of the site."""


def renderers(
    site: Site, assets: Assets, make: Callable[[str, Site, Assets], Renderer] = Renderer
) -> Renderers:
    return {language: make(language, site, assets) for language in offered(site.languages)}

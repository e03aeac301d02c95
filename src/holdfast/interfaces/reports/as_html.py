"""A report as HTML: a page of the site, or a file that needs nothing else."""

from functools import lru_cache
from importlib.resources import files
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import ChoiceLoader, Environment, PackageLoader
from markupsafe import Markup

from holdfast.estate.model import Site
from holdfast.interfaces.reports.i18n import ReportTranslator
from holdfast.interfaces.reports.layout import laid_out
from holdfast.interfaces.reports.model import Report
from holdfast.interfaces.site.colours import theme
from holdfast.interfaces.site.rendering import Assets, Renderer


@lru_cache
def _environment(language: str, sites: Environment) -> Environment:
    """The site's environment with the reports' templates and words on top."""
    environment = sites.overlay(
        loader=ChoiceLoader([PackageLoader(__package__), sites.loader or ChoiceLoader([])])
    )
    environment.globals = dict(sites.globals)
    t = ReportTranslator(language, ZoneInfo("UTC"))
    environment.install_gettext_callables(t.gettext, t.ngettext, newstyle=True)  # type: ignore[attr-defined]
    return environment


class ReportPages(Renderer):
    """Renders reports in the look of one site, in one language."""

    def __init__(self, renderer: Renderer) -> None:
        super().__init__(renderer.t.language, renderer.site, renderer.assets)
        self.t = ReportTranslator(renderer.t.language, renderer.t.zone)
        self._environment = _environment(renderer.t.language, self._environment)

    def report(self, report: Report, path: str, **context: Any) -> str:
        """A page. `path` is its address without the language."""
        return self.page(
            "report_page.html",
            path,
            t=self.t.in_zone(ZoneInfo(report.review.time_zone)),
            section="reports",
            sample=report.review.sample,
            at=report.review.at,
            document=laid_out(report, self.t.language),
            linked=True,
            **context,
        )

    def file(self, report: Report) -> str:
        """A file that needs no other: its styles are in it, and it links to nothing."""
        style = (files("holdfast.interfaces.site") / "static" / "site.css").read_text(encoding="utf-8")
        return self.page(
            "report_file.html",
            "",
            t=self.t.in_zone(ZoneInfo(report.review.time_zone)),
            document=laid_out(report, self.t.language),
            linked=False,
            style=Markup(style + theme(self.site.colours.accent)),  # noqa: S704  our own stylesheet
        )


def as_html(report: Report, site: Site, language: str) -> bytes:
    """The file."""
    return ReportPages(Renderer(language, site, Assets("", "", ""))).file(report).encode()

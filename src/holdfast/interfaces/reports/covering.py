"""What a mailed report says around its files: the figure at a glance, so that nothing need be opened."""

from collections.abc import Mapping
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from holdfast.estate.model import Site
from holdfast.interfaces.reports.document import Document
from holdfast.interfaces.reports.i18n import ReportTranslator
from holdfast.interfaces.reports.layout import laid_out
from holdfast.interfaces.reports.model import Report

_TEMPLATES = Environment(
    loader=PackageLoader(__package__),
    autoescape=select_autoescape(["html"]),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def covering_letter(report: Report, site: Site, language: str) -> Mapping[str, str]:
    """Subject (one line), text and html."""
    t = ReportTranslator(language, ZoneInfo(report.review.time_zone))
    document = laid_out(report, language)
    month = t.month(t.local(report.review.window.start).date())
    context = {
        "document": document,
        "language": language,
        "title": site.title,
        "greeting": t.gettext("Here is the service level report of %(month)s for %(customer)s.")
        % {"month": month, "customer": report.review.customer_name},
        "figures": [(tile.label, tile.value) for tile in document.tiles],
        "months_noted": _noted(report, document, t),
        "ending": t.gettext("The whole report is attached. It was made of the frozen figures of the month."),
    }
    subject = t.gettext("%(title)s: service level report, %(month)s") % {"title": site.title, "month": month}
    return {
        "subject": " ".join(subject.split()),
        "text": _TEMPLATES.get_template("covering.txt").render(context),
        "html": _TEMPLATES.get_template("covering.html").render(context),
    }


def _noted(report: Report, document: Document, t: ReportTranslator) -> list[str]:
    count = len(report.downtimes)
    told = t.ngettext("%(num)s downtime", "%(num)s downtimes", count) % {"num": count}
    return [each for each in (document.warning, document.verdict_text, told) if each]

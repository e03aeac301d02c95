"""The reports' own words, beside those of the site."""

import gettext
from functools import lru_cache
from importlib.resources import files
from io import BytesIO
from zoneinfo import ZoneInfo

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from holdfast.interfaces.site.i18n import Translator, translations


@lru_cache
def report_translations(language: str) -> gettext.NullTranslations:
    """The reports' catalogue; what it lacks is looked up in the site's. English needs neither."""
    if language == "en":
        return gettext.NullTranslations()
    source = files(__package__) / "locale" / language / "LC_MESSAGES" / "reports.po"
    compiled = BytesIO()
    with source.open("rb") as lines:
        write_mo(compiled, read_po(lines, locale=language))
    compiled.seek(0)
    catalogue = gettext.GNUTranslations(compiled)
    catalogue.add_fallback(translations(language))
    return catalogue


class ReportTranslator(Translator):
    """Speaks one language in one time zone, about reports too."""

    def __init__(self, language: str, zone: ZoneInfo) -> None:
        super().__init__(language, zone)
        catalogue = report_translations(language)
        self.gettext = catalogue.gettext
        self.ngettext = catalogue.ngettext

    def in_zone(self, zone: ZoneInfo) -> "ReportTranslator":
        return ReportTranslator(self.language, zone)

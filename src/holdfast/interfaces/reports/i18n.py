"""The reports' own words, beside those of the site."""

import gettext
from functools import lru_cache

from holdfast.interfaces.site.i18n import Translator, with_the_sites


@lru_cache
def report_translations(language: str) -> gettext.NullTranslations:
    """The reports' catalogue, beside the site's."""
    return with_the_sites(__package__, "reports", language)


class ReportTranslator(Translator):
    """Speaks one language in one time zone, about reports too."""

    words = staticmethod(report_translations)

"""Mails out of notices, requests and letters.

A notice is put into words once for each language; what differs from one recipient to the next, the two links
of the subscription, stands in it as marks that no text can hold, and is filled in for each.
"""

import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from holdfast.communication.delivering import Announcement, Message, Recipient, Request, RequestKind
from holdfast.communication.markdown import html_of, text_of
from holdfast.communication.model import Letter, Notice
from holdfast.interfaces.messages.links import Links
from holdfast.interfaces.messages.wording import Wording

KEPT = 64
"""Notices in words: the newest announcements, in every language."""
_COLOURS = {"bad": "#c5221f", "well": "#188038", "work": "#1a56b0", "news": "#b06000"}
_AUTOMATIC = {"Auto-Submitted": "auto-generated", "X-Auto-Response-Suppress": "All"}
_BULK = {**_AUTOMATIC, "Precedence": "bulk"}


@dataclass(frozen=True, slots=True)
class Stationery:
    """What is the same in every mail: the site's title, its time zone and languages, and where it is."""

    site: str
    zone: ZoneInfo
    links: Links
    languages: tuple[str, ...] = ("en", "de")

    @property
    def host(self) -> str:
        return urlsplit(self.links.base).hostname or "localhost"


@dataclass(frozen=True, slots=True)
class _Written:
    """A notice in words, with marks where a recipient's links go."""

    message: Message
    manage_mark: str
    unsubscribe_mark: str

    def for_one(self, manage_url: str, unsubscribe_url: str) -> Message:
        def filled(text: str) -> str:
            return text.replace(self.manage_mark, manage_url).replace(self.unsubscribe_mark, unsubscribe_url)

        return replace(
            self.message,
            text=filled(self.message.text),
            html=filled(self.message.html),
            manage_url=manage_url,
            unsubscribe_url=unsubscribe_url,
        )


class Mails:
    """A `Composer` of mails."""

    def __init__(self, stationery: Stationery) -> None:
        self._stationery = stationery
        self._links = stationery.links
        self._written: OrderedDict[tuple[str, str], _Written] = OrderedDict()

    def announced(self, announcement: Announcement, to: Recipient) -> Message:
        language = self._spoken(to.language)
        key = (announcement.id, language)
        written = self._written.get(key)
        if written is None:
            written = self._written[key] = self._in_words(announcement.notice, language)
            if len(self._written) > KEPT:
                self._written.popitem(last=False)
        # The links are ours, and made of letters that HTML leaves as they are.
        return written.for_one(
            self._links.manage(language, to.manage_token), self._links.unsubscribe(language, to.manage_token)
        )

    def _in_words(self, notice: Notice, language: str) -> _Written:
        wording = self._wording(language)
        told = wording.told(notice)
        manage, unsubscribe = (f"{each}-{secrets.token_hex(16)}" for each in ("manage", "unsubscribe"))
        subject = f"[{self._stationery.site}] {told.headline}"
        values: dict[str, object] = {
            "subject": subject,
            "told": told,
            "url": self._subject_url(notice, language),
            "manage_url": manage,
            "unsubscribe_url": unsubscribe,
            "colour": _COLOURS[told.mood],
        }
        message = Message(
            subject=subject,
            text=self._rendered(wording, "notice.txt", {**values, "body": text_of(told.body)}),
            html=self._rendered(wording, "notice.html", {**values, "body": Markup(html_of(told.body))}),  # noqa: S704
            headers=_BULK | self._thread(notice),
        )
        return _Written(message, manage, unsubscribe)

    def _thread(self, notice: Notice) -> dict[str, str]:
        """Mail programs show all that is said of one incident together, whichever of its mails came first."""
        host = self._stationery.host
        kind = notice.topic.value
        return {
            "References": f"<{kind}.{notice.subject_id}@{host}>",
            "List-Id": f"<{host}>",
            "X-Holdfast-Event": notice.event.value,
        }

    def _subject_url(self, notice: Notice, language: str) -> str:
        if notice.incident is not None:
            return self._links.incident(language, notice.incident.id)
        if notice.maintenance is not None:
            return self._links.maintenance(language, notice.maintenance.id)
        return self._links.home(language)

    def requested(self, request: Request, to: Recipient) -> Message:
        language = self._spoken(to.language)
        wording = self._wording(language)
        _ = wording.t.gettext
        site = self._stationery.site
        subject, text = wording.requested(request, site)
        manage_url = self._links.manage(language, to.manage_token)
        if request.kind is RequestKind.KNOWN:
            url, action = manage_url, _("Change or end the subscription")
        else:
            url = self._links.confirm(language, to.confirm_token)
            confirms = request.kind is RequestKind.CONFIRM
            action = _("Confirm the subscription") if confirms else _("Resume the subscription")
        values: dict[str, object] = {
            "subject": subject,
            "text": text,
            "reason": request.reason,
            "url": url,
            "action": action,
            "note": _("If you did not ask for this, ignore this mail: nothing more will come of it.")
            if request.kind is not RequestKind.PAUSED
            else _("Unsubscribe") + ": " + manage_url,
            "colour": _COLOURS["work"],
        }
        return Message(
            subject=subject,
            text=self._rendered(wording, "request.txt", values),
            html=self._rendered(wording, "request.html", values),
            headers=_AUTOMATIC,
            manage_url=manage_url,
        )

    def letter(self, letter: Letter, to: Recipient) -> Message:
        del to
        return Message(
            subject=letter.subject,
            text=letter.text,
            html=letter.html,
            headers=_AUTOMATIC,
            attachments=letter.attachments,
        )

    def _rendered(self, wording: Wording, template: str, values: Mapping[str, object]) -> str:
        environment = _environment(wording.language)
        return environment.get_template(template).render(
            values, site=self._stationery.site, language=wording.language
        )

    def _wording(self, language: str) -> Wording:
        return _wording(language, self._stationery.zone)

    def _spoken(self, language: str) -> str:
        """A language that is no longer offered is answered in the first one that is."""
        return language if language in self._stationery.languages else self._stationery.languages[0]


@lru_cache(maxsize=32)
def _wording(language: str, zone: ZoneInfo) -> Wording:
    return Wording(language, zone)


@lru_cache
def _environment(language: str) -> Environment:
    environment = Environment(
        loader=PackageLoader(__package__),
        autoescape=select_autoescape(["html"], default=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        extensions=["jinja2.ext.i18n"],
        auto_reload=False,
    )
    t = _wording(language, ZoneInfo("UTC")).t
    environment.install_gettext_callables(t.gettext, t.ngettext, newstyle=True)  # type: ignore[attr-defined]
    return environment

"""Messages for Slack and Microsoft Teams: the same card in either's form.

Whatever people or programs wrote goes into parts that neither reads as markup (`plain_text`, `TextRun`), so
that no title mentions a channel, links elsewhere or looks like something of ours. Only our links are markup.

Source: https://docs.slack.dev/reference/block-kit/blocks and https://adaptivecards.io/explorer (1.4).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from holdfast.communication.delivering import Announcement, Message, Recipient, Request, RequestKind
from holdfast.communication.markdown import text_of
from holdfast.communication.model import Channel, Letter, Notice
from holdfast.interfaces.messages.mails import Stationery
from holdfast.interfaces.messages.wording import Wording

Json = dict[str, object]
LONGEST_HEADER = 150
LONGEST_TEXT = 2_900
"""Slack takes 3,000 characters in a part, Teams 28 KB in all."""
MOST_COMPONENTS = 30
MOST_PARAGRAPHS = 20
"""What is beyond them stands in the last one."""


@dataclass(frozen=True, slots=True)
class Card:
    """A message as both show it: plain texts, and buttons with links of ours (what they say, where to)."""

    headline: str
    lines: Sequence[tuple[str, str]] = ()
    body: str = ""
    footer: str = ""
    links: Sequence[tuple[str, str]] = ()


class Chats:
    """A `Composer` for both."""

    def __init__(self, stationery: Stationery) -> None:
        self._stationery = stationery
        self._links = stationery.links

    def announced(self, announcement: Announcement, to: Recipient) -> Message:
        notice, wording = announcement.notice, self._wording(to)
        language, _ = wording.language, wording.t.gettext
        told = wording.told(notice)
        manage = self._links.manage(language, to.manage_token)
        names = [
            f"{each.name}: {each.state}" if each.state else each.name
            for each in told.concerned[:MOST_COMPONENTS]
        ]
        components = [(_("Components"), ", ".join(names))] if names else []
        card = Card(
            told.headline,
            [*told.lines, *components],
            text_of(told.body),
            self._stationery.site,
            [
                (_("Details"), self._subject_url(notice, language)),
                (_("Change or end the subscription"), manage),
            ],
        )
        return _message(card, to.channel, manage_url=manage)

    def requested(self, request: Request, to: Recipient) -> Message:
        wording = self._wording(to)
        language, _ = wording.language, wording.t.gettext
        subject, text = wording.requested(request, self._stationery.site)
        manage = self._links.manage(language, to.manage_token)
        if request.kind is RequestKind.KNOWN:
            link = (_("Change or end the subscription"), manage)
        else:
            confirms = request.kind is RequestKind.CONFIRM
            action = _("Confirm the subscription") if confirms else _("Resume the subscription")
            link = (action, self._links.confirm(language, to.confirm_token))
        return _message(Card(subject, body=text, footer=self._stationery.site, links=[link]), to.channel)

    def letter(self, letter: Letter, to: Recipient) -> Message:
        return _message(Card(letter.subject, body=letter.text, footer=self._stationery.site), to.channel)

    def _wording(self, to: Recipient) -> Wording:
        languages = self._stationery.languages
        return Wording(to.language if to.language in languages else languages[0], self._stationery.zone)

    def _subject_url(self, notice: Notice, language: str) -> str:
        if notice.incident is not None:
            return self._links.incident(language, notice.incident.id)
        if notice.maintenance is not None:
            return self._links.maintenance(language, notice.maintenance.id)
        return self._links.home(language)


def _message(card: Card, channel: Channel, *, manage_url: str = "") -> Message:
    content = msgspec.json.encode(_FORMS[channel](card))
    return Message(subject=card.headline, content=content, manage_url=manage_url)


def slack(card: Card) -> Json:
    """As an incoming web hook of Slack takes it."""
    blocks: list[Json] = [{"type": "header", "text": _plain(cut(card.headline, LONGEST_HEADER))}]
    if card.lines:
        lines = "\n".join(f"{name}: {text}" for name, text in card.lines)
        blocks.append({"type": "section", "text": _plain(cut(lines))})
    if card.body:
        blocks.append({"type": "section", "text": _plain(cut(card.body))})
    links = " · ".join(f"<{slack_escaped(url)}|{slack_escaped(name)}>" for name, url in card.links)
    if links:
        blocks.append({"type": "section", "text": {"type": "mrkdwn", "text": links, "verbatim": True}})
    if card.footer:
        blocks.append({"type": "context", "elements": [_plain(cut(card.footer))]})
    return {
        # What notifications show, and readers hear.
        "text": slack_escaped(cut(card.headline)),
        "blocks": blocks,
        "mrkdwn": False,
        "parse": "none",
        "link_names": False,
        "unfurl_links": False,
        "unfurl_media": False,
    }


def slack_escaped(text: str) -> str:
    """Without what Slack reads as a link or a mention: `<!channel>`, `<@U1>`, `<https://...>`."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("|", "¦")


def _plain(text: str) -> Json:
    return {"type": "plain_text", "text": text, "emoji": False}


def teams(card: Card) -> Json:
    """As a workflow of Teams takes it: a message with one adaptive card."""
    body: list[Json] = [_rich(cut(card.headline, LONGEST_HEADER), size="Large", weight="Bolder")]
    body += [_rich(cut(text), label=name) for name, text in card.lines]
    if card.body:
        body += [_rich(each) for each in cut(card.body).split("\n\n", MOST_PARAGRAPHS) if each]
    if card.footer:
        body.append(_rich(cut(card.footer), size="Small"))
    content: Json = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "fallbackText": cut(card.headline, LONGEST_HEADER),
        "msteams": {"width": "Full"},
        "body": body,
        "actions": [{"type": "Action.OpenUrl", "title": name, "url": url} for name, url in card.links],
    }
    attachment = {
        "contentType": "application/vnd.microsoft.card.adaptive",
        "contentUrl": None,
        "content": content,
    }
    return {"type": "message", "attachments": [attachment]}


def _rich(text: str, *, label: str = "", size: str = "Default", weight: str = "Default") -> Json:
    """A text block would read Markdown; the runs of a rich text block do not."""
    runs: list[Json] = [{"type": "TextRun", "text": f"{label}: ", "weight": "Bolder"}] if label else []
    runs.append({"type": "TextRun", "text": text, "size": size, "weight": weight})
    return {"type": "RichTextBlock", "inlines": runs}


def cut(text: str, most: int = LONGEST_TEXT) -> str:
    """The text as long as receivers take it, and never empty: they refuse a whole message for either."""
    text = text.strip() or "-"
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


_FORMS: dict[Channel, Callable[[Card], Json]] = {Channel.SLACK: slack, Channel.TEAMS: teams}

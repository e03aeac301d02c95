"""What a registry says of a domain: RDAP (RFC 9083), the list of registries (RFC 9224), and whois text."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from holdfast.adapters.probes.errors import AttemptFailed

_MOST_EVENTS = 100
_MOST_STATUS = 50
_LONGEST_TEXT = 200
_EXPIRY = re.compile(
    r"^[ \t]*(?:registry expiry date|registrar registration expiration date|expiry date|expiration date"
    r"|expiration time|expire date|expires on|expires|expire|paid-till|renewal date|valid until)"
    r"[ \t.]{0,30}:[ \t]*([^\r\n]{1,60})",
    re.IGNORECASE | re.MULTILINE,
)
_REGISTRAR = re.compile(r"^[ \t]*registrar[ \t.]{0,30}:[ \t]*([^\r\n]{1,200})", re.IGNORECASE | re.MULTILINE)
_STATUS = re.compile(
    r"^[ \t]*(?:domain status|status)[ \t.]{0,30}:[ \t]*([A-Za-z ]{1,60})", re.IGNORECASE | re.MULTILINE
)
_REFERRAL = re.compile(
    r"^[ \t]*(?:refer|whois):[ \t]*([A-Za-z0-9.-]{1,253}(?::[0-9]{1,5})?)[ \t\r]*$", re.MULTILINE
)
_NONE = re.compile(
    r"no match|not found|no entries found|no data found|status:[ \t]*(?:free|available)|is available for",
    re.IGNORECASE,
)
_DATES = ("%Y-%m-%d", "%Y.%m.%d", "%Y/%m/%d", "%d-%b-%Y", "%d.%m.%Y", "%d/%m/%Y", "%Y%m%d")


@dataclass(frozen=True, slots=True)
class Registration:
    """One domain. `expires_at` is in UTC; a date without a time is its beginning."""

    registered: bool = True
    expires_at: datetime | None = None
    registrar: str = ""
    status: tuple[str, ...] = ()


def read_rdap(body: bytes) -> Registration:
    """From a domain object. Raises AttemptFailed when it is none or names no end."""
    document = _json(body)
    if not isinstance(document, dict) or document.get("objectClassName") != "domain":
        raise AttemptFailed("the answer is no domain")
    events = document.get("events")
    expires_at = None
    for event in events[:_MOST_EVENTS] if isinstance(events, list) else ():
        match event:
            case {"eventAction": "expiration", "eventDate": str(text)}:
                expires_at = _moment(text)
            case _:
                pass
    if expires_at is None:
        raise AttemptFailed("the registry publishes no end of registrations")
    return Registration(True, expires_at, _rdap_registrar(document), _texts(document.get("status")))


def read_whois(text: str) -> Registration:
    """From the text of a whois server. Raises AttemptFailed when it names no end."""
    match = _EXPIRY.search(text)
    expires_at = _moment(match[1]) if match else None
    if expires_at is None:
        if _NONE.search(text):
            return Registration(registered=False)
        raise AttemptFailed("the registry publishes no end of registrations")
    registrar = _REGISTRAR.search(text)
    status = tuple(each.strip().lower() for each in _STATUS.findall(text)[:_MOST_STATUS])
    return Registration(True, expires_at, registrar[1].strip() if registrar else "", status)


def rdap_base(services: bytes, domain: str) -> str:
    """The RDAP server for `domain`, the longest match winning. Raises AttemptFailed when there is none."""
    document = _json(services)
    listed = document.get("services") if isinstance(document, dict) else None
    known: dict[str, str] = {}
    for service in listed if isinstance(listed, list) else ():
        match service:
            case [list(names), list(urls)]:
                url = next((each for each in urls if isinstance(each, str) and each.startswith("http")), None)
                if url is not None:
                    known |= {name.lower(): url for name in names if isinstance(name, str)}
            case _:
                pass
    parts = domain.split(".")
    for first in range(1, len(parts)):
        if (found := known.get(".".join(parts[first:]))) is not None:
            return found
    raise AttemptFailed("the registry has no RDAP server")


def referral(text: str) -> str:
    """The whois server that another one refers to. Raises AttemptFailed when it names none."""
    match = _REFERRAL.search(text)
    if match is None:
        raise AttemptFailed("the registry has no whois server")
    return match[1]


def _json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise AttemptFailed("the answer is not JSON") from error


def _moment(text: str) -> datetime | None:
    """A moment as registries write it; None for one that nobody can read."""
    text = text.strip()
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except OverflowError:
        return None
    except ValueError:
        return _day(text)


def _day(text: str) -> datetime | None:
    """A day, with whatever follows it left out."""
    word = re.split(r"[ T]", text, maxsplit=1)[0].rstrip(".")
    for form in _DATES:
        try:
            return datetime.strptime(word, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    return None


def _rdap_registrar(document: dict[str, Any]) -> str:
    """The full name on the registrar's card (RFC 7095)."""
    entities = document.get("entities")
    for entity in entities[:_MOST_EVENTS] if isinstance(entities, list) else ():
        match entity:
            case {"roles": list(roles), "vcardArray": [_, list(card)]} if "registrar" in roles:
                for line in card[:_MOST_EVENTS]:
                    match line:
                        case ["fn", _, _, str(name), *_]:
                            return name[:_LONGEST_TEXT]
                        case _:
                            pass
            case _:
                pass
    return ""


def _texts(value: object) -> tuple[str, ...]:
    listed = value[:_MOST_STATUS] if isinstance(value, list) else []
    return tuple(each[:_LONGEST_TEXT].lower() for each in listed if isinstance(each, str))

"""Forms that visitors send without login, cookie or script: read within bounds, and believed only if ours.

There is no session that a foreign page could misuse. What a foreign page, or a program, could do is to make
visitors, or itself, send forms that nobody filled in. So a browser must say that the form comes from a page
of ours (Origin, Sec-Fetch-Site), and the form must carry what we put into it a moment ago.
"""

import asyncio
import hmac
import secrets
from collections.abc import Mapping
from enum import Enum
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.requests import ClientDisconnect, Request

from holdfast.kernel.clock import Clock
from holdfast.kernel.vault import Vault

MOST_BYTES = 8 * 1024
MOST_FIELDS = 600
READ_WITHIN_S = 10.0
URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
_PURPOSE = "site form"

Fields = Mapping[str, list[str]]


class FormRefused(Exception):  # noqa: N818  an answer more than an error
    """The form cannot be read. `status` is what its sender is told."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


async def body_of(request: Request, accepted: tuple[str, ...] = (URLENCODED,)) -> bytes:
    """The body, at most 8 KiB within ten seconds, of an accepted type. Raises FormRefused."""
    if media_type_of(request) not in accepted:
        raise FormRefused(415)
    body = bytearray()
    try:
        async with asyncio.timeout(READ_WITHIN_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MOST_BYTES:
                    raise FormRefused(413)
    except TimeoutError as error:
        raise FormRefused(408) from error
    except ClientDisconnect as error:
        raise FormRefused(400) from error
    return bytes(body)


async def fields_of(request: Request) -> Fields:
    """The form's fields, each with its values. Raises FormRefused."""
    body = await body_of(request)
    try:
        return parse_qs(body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict")
    except ValueError as error:
        raise FormRefused(400) from error


def media_type_of(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def first(fields: Fields, name: str) -> str:
    return fields.get(name, [""])[0]


def is_from_our_pages(request: Request, site_url: str | None) -> bool:
    """Whether no browser says that a page of somebody else sent this. Programs say nothing, and pass here.

    Behind a proxy the host may be another one than visitors see: the site's declared address counts too.
    """
    fetched = request.headers.get("sec-fetch-site")
    if fetched is not None:
        return fetched in {"same-origin", "none"}
    origin = request.headers.get("origin")
    if origin is None:
        return True
    hosts = {request.headers.get("host", ""), urlsplit(site_url or "").netloc} - {""}
    return urlsplit(origin).netloc in hosts


class Sealed(Enum):
    """What a form's seal says of it."""

    GOOD = "good"
    TOO_SOON = "too_soon"
    TOO_OLD = "too_old"
    FORGED = "forged"


class FormSeal:
    """Goes out with a form, and comes back with it: made by us, not long ago, and not in the same instant."""

    def __init__(self, vault: Vault, clock: Clock, *, least_s: float = 1.0, most_s: float = 6 * 3600) -> None:
        self._vault = vault
        self._clock = clock
        self._least_s = least_s
        self._most_s = most_s

    def fresh(self) -> str:
        made = f"{self._clock.now().timestamp():.1f}.{secrets.token_hex(8)}"
        return f"{made}.{self._proof(made)}"

    def judge(self, seal: str) -> Sealed:
        made, _, proof = seal.rpartition(".")
        if not seal.isascii() or not hmac.compare_digest(self._proof(made), proof):
            return Sealed.FORGED
        age = self._clock.now().timestamp() - float(made.rpartition(".")[0])
        if age > self._most_s:
            return Sealed.TOO_OLD
        return Sealed.GOOD if age >= self._least_s else Sealed.TOO_SOON

    def _proof(self, made: str) -> str:
        return self._vault.fingerprint(made, _PURPOSE).hex()[:32]


def ticked(fields: Fields, name: str, known: Mapping[str, Any]) -> list[str]:
    """The values of check boxes that we know; a box that is gone meanwhile counts as not ticked."""
    return [each for each in dict.fromkeys(fields.get(name, [])) if each in known]

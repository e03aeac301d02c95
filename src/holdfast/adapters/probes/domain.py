"""The domain probe: when a registration ends, by RDAP (RFC 9082, 9083) and, failing that, whois (RFC 3912).

Registries answer few questions a day to anybody, so an answer is kept for six hours, and a failure for a
quarter of one. A registry that cannot be asked says nothing about the domain: that is no result.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic

from holdfast.adapters.probes.errors import AttemptFailed, OwnFault
from holdfast.adapters.probes.http import HttpProbe
from holdfast.adapters.probes.incoming import Incoming
from holdfast.adapters.probes.phases import Attempt
from holdfast.adapters.probes.reach import Reach
from holdfast.adapters.probes.registration import (
    Registration,
    rdap_base,
    read_rdap,
    read_whois,
    referral,
)
from holdfast.estate.checks import DomainCheck, HttpCheck

BOOTSTRAP = "https://data.iana.org/rdap/dns.json"
ROOT_WHOIS = "whois.iana.org"
_FRESH_S = 6 * 3_600
_STALE_S = 72 * 3_600
_AGAIN_S = 900
_MOST_WHOIS = 65_536
_MOST_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class _Kept:
    """What was answered, and until when nobody asks again, on the monotonic clock."""

    until: float
    asked: float
    registration: Registration | None
    trouble: str = ""


class DomainProbe:
    def __init__(
        self,
        reach: Reach,
        http: HttpProbe,
        *,
        bootstrap: str = BOOTSTRAP,
        root_whois: str = ROOT_WHOIS,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """`clock` gives monotonic seconds."""
        self._reach = reach
        self._http = http
        self._bootstrap = bootstrap
        self._root_whois = root_whois
        self._clock = clock
        self._kept: dict[tuple[str, str | None, str | None], _Kept] = {}
        self._services: tuple[float, bytes] | None = None

    async def attempt(self, check: DomainCheck, attempt: Attempt) -> dict[str, object]:
        """When the registration ends. Raises OwnFault when nobody can say."""
        key = (check.domain, check.rdap, check.whois)
        kept = self._kept.get(key)
        if kept is None or kept.until <= self._clock():
            kept = await self._asked(check, attempt, kept)
            while len(self._kept) >= _MOST_KEPT:
                self._kept.pop(next(iter(self._kept)))
            self._kept[key] = kept
        if kept.registration is None:
            raise OwnFault(kept.trouble)
        return _facts(kept.registration)

    async def _asked(self, check: DomainCheck, attempt: Attempt, before: _Kept | None) -> _Kept:
        now = self._clock()
        try:
            return _Kept(now + _FRESH_S, now, await self._registration(check, attempt))
        except AttemptFailed as error:
            # The end of a registration does not move by itself: an older answer is as good for some days.
            if before is not None and before.registration is not None and now - before.asked < _STALE_S:
                return _Kept(now + _AGAIN_S, before.asked, before.registration)
            return _Kept(now + _AGAIN_S, now, None, f"the registry cannot be asked: {error}")

    async def _registration(self, check: DomainCheck, attempt: Attempt) -> Registration:
        domain = _ascii(check.domain)
        try:
            return await self._by_rdap(check, domain, attempt)
        except AttemptFailed as by_rdap:
            if check.rdap is not None and check.whois is None:
                raise
            try:
                return await self._by_whois(check, domain, attempt)
            except AttemptFailed as by_whois:
                raise AttemptFailed(f"{by_rdap} (RDAP), {by_whois} (whois)") from by_whois

    async def _by_rdap(self, check: DomainCheck, domain: str, attempt: Attempt) -> Registration:
        base = check.rdap or await self._base_for(check, domain, attempt)
        status, body = await self._get(check, f"{base.rstrip('/')}/domain/{domain}", attempt)
        if status == 404:
            return Registration(registered=False)
        if status != 200:
            raise AttemptFailed(f"status was {status}, expected 200")
        return read_rdap(body)

    async def _base_for(self, check: DomainCheck, domain: str, attempt: Attempt) -> str:
        """The registry's own server, by the list that IANA keeps (RFC 9224)."""
        if self._services is None or self._services[0] <= self._clock():
            status, body = await self._get(check, self._bootstrap, attempt)
            if status != 200:
                raise AttemptFailed("the list of registries cannot be had")
            self._services = (self._clock() + 24 * 3_600, body)
        return rdap_base(self._services[1], domain)

    async def _get(self, check: DomainCheck, url: str, attempt: Attempt) -> tuple[int, bytes]:
        asked = HttpCheck(
            url=url,
            headers={"Accept": "application/rdap+json, application/json"},
            timeouts=check.timeouts,
            verify_tls=check.verify_tls,
            ca_file=check.ca_file,
        )
        facts = await self._http.attempt(asked, self._http.plan(asked), attempt)
        status, body = facts["status"], facts.get("body", b"")
        if facts.get("body_truncated"):
            raise AttemptFailed("the answer is too long")
        raw = body.encode() if isinstance(body, str) else body
        return (status if isinstance(status, int) else 0), (raw if isinstance(raw, bytes) else b"")

    async def _by_whois(self, check: DomainCheck, domain: str, attempt: Attempt) -> Registration:
        server = check.whois
        if server is None:
            server = referral(await self._whois(self._root_whois, domain.rpartition(".")[2], attempt))
        return read_whois(await self._whois(server, domain, attempt))

    async def _whois(self, server: str, question: str, attempt: Attempt) -> str:
        host, _, port = server.partition(":")
        async with self._reach.connected(attempt, host, int(port or 43)) as wire:
            answer = _UntilEnd(attempt.loop)
            async with attempt.awaiting_first_byte():
                wire.write(f"{question}\r\n".encode("ascii"))
                wire.attach(answer)
                await answer.begun()
            async with attempt.reading():
                return await answer.whole()


class _UntilEnd(Incoming):
    """An answer that ends with the connection."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop, most=_MOST_WHOIS)
        self._closed = False

    def ended(self, error: Exception | None) -> None:
        self._closed = self._closed or error is None
        super().ended(error)

    async def whole(self) -> str:
        text = b""
        try:
            while True:
                text += await self.some()
        except AttemptFailed:
            if not self._closed or not text:
                raise
        return text.decode("utf-8", "replace")


def _facts(registration: Registration) -> dict[str, object]:
    if not registration.registered:
        raise AttemptFailed("the domain is not registered")
    facts: dict[str, object] = {"domain_status": list(registration.status)}
    if registration.expires_at is not None:
        facts["expires_in"] = registration.expires_at - datetime.now(UTC)
    if registration.registrar:
        facts["registrar"] = registration.registrar
    return facts


def _ascii(domain: str) -> str:
    try:
        return domain.rstrip(".").lower().encode("idna").decode("ascii")
    except UnicodeError as error:
        raise OwnFault("the check names a domain that cannot be one") from error

"""Domain checks against registries of our own on loopback: RDAP, its list of servers, and whois."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from probe_targets import Conversation, read_request, resolve_secret, serving

from holdfast.adapters.probes import Probes
from holdfast.adapters.probes.addresses import Addresses
from holdfast.adapters.probes.domain import DomainProbe
from holdfast.adapters.probes.errors import AttemptFailed, OwnFault
from holdfast.adapters.probes.http import HttpProbe
from holdfast.adapters.probes.phases import Attempt
from holdfast.adapters.probes.reach import Reach
from holdfast.adapters.probes.registration import (
    Registration,
    rdap_base,
    read_rdap,
    read_whois,
    referral,
)
from holdfast.adapters.probes.tls import Trust
from holdfast.availability.judging import compile_check, judge
from holdfast.availability.model import Outcome
from holdfast.estate.checks import DomainCheck

NOW = datetime.now(UTC)


def rdap_domain(expires: str | None = None, **fields: object) -> dict[str, object]:
    events = [{"eventAction": "registration", "eventDate": "2001-01-01T00:00:00Z"}]
    if expires is not None:
        events.append({"eventAction": "expiration", "eventDate": expires})
    card = ["vcard", [["version", {}, "text", "4.0"], ["fn", {}, "text", "Example Registrar"]]]
    return {
        "objectClassName": "domain",
        "events": events,
        "status": ["active", "Client Hold"],
        "entities": [{"roles": ["registrar"], "vcardArray": card}],
        **fields,
    }


def in_days(days: int) -> str:
    return (NOW + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")


class Registry:
    """Answers by path; whatever is not there is not found. Counts what it was asked."""

    def __init__(self, answers: dict[str, object]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await read_request(reader)).split()[1].decode()
        self.asked.append(path)
        answer = self.answers.get(path)
        raw = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        status = "404 Not Found" if answer is None else "200 OK"
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(raw)}\r\n\r\n".encode() + raw)
        await writer.drain()


def whois(answers: dict[bytes, bytes]) -> Conversation:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answers.get((await reader.readline()).strip(), b"No match for that.\r\n"))
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    return conversation


def domain(name: str = "example.test", *conditions: str, **fields: Any) -> DomainCheck:
    return DomainCheck.model_validate({"type": "domain", "domain": name, "conditions": conditions, **fields})


@pytest.fixture
async def reach() -> AsyncIterator[Reach]:
    addresses = Addresses()
    yield Reach(addresses, Trust(), resolve_secret)
    await addresses.close()


@asynccontextmanager
async def looking_up(**places: str) -> AsyncIterator[Probes]:
    probes = Probes(resolve_secret, **places)  # type: ignore[arg-type]
    try:
        yield probes
    finally:
        await probes.close()


async def test_a_registration_by_rdap(probes: Probes) -> None:
    registry = Registry({"/v1/domain/example.test": rdap_domain(in_days(30))})
    async with serving(registry) as port:
        rdap = f"http://127.0.0.1:{port}/v1/"
        for conditions, reason in (
            ([], ""),
            (["expires_in > 14d", 'registrar == "Example Registrar"'], ""),
            (["expires_in > 60d"], "expires_in was 29d23h, expected > 60d"),
            (
                ['not domain_status contains "client hold"'],
                'expected domain_status not to contain "client hold"',
            ),
        ):
            check = domain("Example.TEST.", *conditions, rdap=rdap)
            assert judge(compile_check(check), await probes.attempt(check))[1] == reason
    assert registry.asked == ["/v1/domain/example.test"]  # once: the registry's time is kept


async def test_expired_and_not_registered(probes: Probes) -> None:
    registry = Registry({"/domain/old.test": rdap_domain(in_days(-3))})
    async with serving(registry) as port:
        rdap = f"http://127.0.0.1:{port}"
        old = domain("old.test", rdap=rdap)
        assert judge(compile_check(old), await probes.attempt(old)) == (
            Outcome.FAILED,
            "expires_in was -3d, expected > 0s",
        )
        free = await probes.attempt(domain("free.test", rdap=rdap))
        assert (free.error, free.ours) == ("the domain is not registered", False)


async def test_the_registrys_own_server_is_found() -> None:
    registry = Registry({})
    async with serving(registry) as port:
        here = f"http://127.0.0.1:{port}"
        services = [[["org", "net"], ["http://127.0.0.1:9/"]], [["co.test", "test"], [f"{here}/rdap/"]]]
        registry.answers = {
            "/dns.json": {"services": services},
            "/rdap/domain/a.test": rdap_domain(in_days(9)),
            "/rdap/domain/b.co.test": rdap_domain(in_days(9)),
        }
        async with looking_up(rdap_bootstrap=f"{here}/dns.json") as probes:
            for name in ("a.test", "b.co.test", "a.test"):
                assert (await probes.attempt(domain(name))).error is None
    assert registry.asked == ["/dns.json", "/rdap/domain/a.test", "/rdap/domain/b.co.test"]


async def test_whois_when_there_is_no_rdap() -> None:
    text = f"Domain: example.test\r\nRegistrar: Some One\r\nRegistry Expiry Date: {in_days(40)}\r\n".encode()
    referrals: dict[bytes, bytes] = {}
    async with serving(whois({b"example.test": text})) as own, serving(whois(referrals)) as root:
        referrals[b"test"] = f"% IANA\nrefer:        127.0.0.1:{own}\n".encode()
        places = {"rdap_bootstrap": "http://127.0.0.1:9/dns.json", "root_whois": f"127.0.0.1:{root}"}
        async with looking_up(**places) as probes:
            check = domain("example.test", "expires_in > 39d", 'registrar == "Some One"')
            assert judge(compile_check(check), await probes.attempt(check)) == (Outcome.GOOD, "")
            free = await probes.attempt(domain("free.test"))
            assert free.error == "the domain is not registered"


async def test_a_registry_that_cannot_be_asked_says_nothing_about_the_domain(probes: Probes) -> None:
    check = domain(rdap="http://127.0.0.1:9")
    observation = await probes.attempt(check)
    assert (observation.error, observation.ours) == (
        "the registry cannot be asked: connection refused",
        True,
    )
    both = await probes.attempt(domain(rdap="http://127.0.0.1:9", whois="127.0.0.1:9"))
    assert both.error == (
        "the registry cannot be asked: connection refused (RDAP), connection refused (whois)"
    )


async def test_an_answer_outlives_a_registry_that_goes_away(reach: Reach) -> None:
    now = [1_000.0]
    probe = DomainProbe(reach, HttpProbe(reach), clock=lambda: now[0])
    registry = Registry({"/domain/a.test": rdap_domain(in_days(30))})
    async with serving(registry) as port:
        check = domain("a.test", rdap=f"http://127.0.0.1:{port}")
        first = await probe.attempt(check, Attempt(check))
        now[0] += 6 * 3_600 + 1
        second = await probe.attempt(check, Attempt(check))
        assert {*first} == {*second} == {"expires_in", "registrar", "domain_status"}
        assert len(registry.asked) == 2
    now[0] += 6 * 3_600 + 1
    assert await probe.attempt(check, Attempt(check))
    now[0] += 72 * 3_600
    with pytest.raises(OwnFault, match="connection refused"):
        await probe.attempt(check, Attempt(check))


async def test_a_registry_that_failed_is_left_in_peace(reach: Reach) -> None:
    now = [1_000.0]
    probe = DomainProbe(reach, HttpProbe(reach), clock=lambda: now[0])
    registry = Registry({"/domain/a.test": {"objectClassName": "nothing"}})
    async with serving(registry) as port:
        check = domain("a.test", rdap=f"http://127.0.0.1:{port}")
        for later, asked in ((0, 1), (60, 1), (839, 1), (2, 2)):
            now[0] += later
            with pytest.raises(OwnFault, match="no domain"):
                await probe.attempt(check, Attempt(check))
            assert len(registry.asked) == asked


# Texts of registries


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("Registry Expiry Date: 2027-08-13T04:00:00Z", "2027-08-13"),
        ("   Registrar Registration Expiration Date: 2027-08-13T04:00:00.0Z", "2027-08-13"),
        ("paid-till:     2027-08-13T21:00:00Z", "2027-08-13"),
        ("Expiry date:  13-Aug-2027", "2027-08-13"),
        ("expires:          13.08.2027", "2027-08-13"),
        ("expires:      2027-08-13", "2027-08-13"),
        ("Expiration Time: 2027-08-13 11:10:04", "2027-08-13"),
        ("expire:       2027.08.13", "2027-08-13"),
        ("renewal date:         2027.08.13 11:59:59", "2027-08-13"),
        ("Expires On: 20270813", "2027-08-13"),
    ],
)
def test_ends_as_registries_write_them(text: str, day: str) -> None:
    found = read_whois(f"Domain: a.test\r\n{text}\r\nmore: 1\r\n").expires_at
    assert found is not None
    assert found.tzinfo is UTC
    assert found.date().isoformat() == day


@pytest.mark.parametrize(
    "text",
    ["Status: connect", "", "Expiry Date: soon", "Expiry Date: 9999-12-31T23:59:59-12:00", "\xff" * 100],
)
def test_a_registry_that_publishes_no_end(text: str) -> None:
    with pytest.raises(AttemptFailed, match="publishes no end"):
        read_whois(text)


def test_a_free_domain() -> None:
    assert read_whois("Domain: a.de\nStatus: free\n") == Registration(registered=False)
    assert read_whois("NOT FOUND\n") == Registration(registered=False)


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"{}",
        b'{"objectClassName": "domain"}',
        b'{"objectClassName": "domain", "events": [1, {"eventAction": "expiration", "eventDate": 5}]}',
        b'{"objectClassName": "domain", "events": [{"eventAction": "expiration", "eventDate": "x"}]}',
    ],
)
def test_what_is_no_registration(document: bytes) -> None:
    with pytest.raises(AttemptFailed):
        read_rdap(document)


def test_what_is_no_list_of_registries() -> None:
    for listed in (b"{}", b'{"services": 1}', b'{"services": [1, [1, 2], [["test"], [5]]]}'):
        with pytest.raises(AttemptFailed, match="no RDAP server"):
            rdap_base(listed, "a.test")
    with pytest.raises(AttemptFailed, match="no whois server"):
        referral("refer: ; rm -rf /")

"""The continuity page: what was measured beside what is promised, and nothing that was not made public."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from site_client import ask, running
from site_estates import FakeReader, overview
from tests.held import at, backup, holdings, wal

from holdfast.backup.model import Suspicion
from holdfast.backup.recoverable.points import RegionPoints, Verified, known_of
from holdfast.backup.recoverable.promises import ClusterPromise, public_promises
from holdfast.backup.recoverable.standing import Reported
from holdfast.estate.model import Estate
from holdfast.kernel.errors import HoldfastError, Remedy


def estate(*, public: bool = True, private: bool = False) -> Estate:
    cluster = {
        "name": "Europe <i>",
        "region": "eu",
        "private": private,
        "components": {"web": {"name": "Web", "checks": {"page": {"url": "http://127.0.0.1:1"}}}},
    }
    return Estate.model_validate(
        {
            "version": 1,
            "regions": {"eu": {"name": "Frankfurt"}, "usa": {"name": "Virginia"}},
            "clusters": {"main": cluster},
            "backup": {"stores": {"eu": {"to": "file:///a"}, "usa": {"to": "file:///b"}}},
            "databases": {
                "shop": {
                    "name": "Shop",
                    "cluster": "main",
                    "connection": {"host": "/nowhere"},
                    "copies": {"eu": {}, "usa": {}},
                    "public": public,
                }
            },
        }
    )


def known(passed_hours_ago: float = 5, **other: object) -> RegionPoints:
    passed_at = at(100 - passed_hours_ago)
    verified = Verified(passed_at, "passed", (), passed_at, 41.6, 1 << 30)
    points = replace(known_of(holdings([backup(10)], wal(10, 100)), []), verified=verified)
    return replace(points, **other)  # type: ignore[arg-type]


def promised(*reported: RegionPoints, **declared: bool) -> Sequence[ClusterPromise]:
    return public_promises(
        estate(**declared), [Reported(each, at(100), at(100)) for each in reported], at(100)
    )


def test_measured_and_promised_of_each_region_that_the_estate_names() -> None:
    ((eu, usa),) = [each.regions for each in promised(known())]
    assert (eu.region, eu.window) == ("Frankfurt", timedelta(days=14))
    assert eu.reaches_back == timedelta(hours=89.75, minutes=-1)
    assert eu.rpo == timedelta(minutes=1)
    assert eu.restore == timedelta(seconds=41.6)
    assert not eu.expired
    assert (usa.region, usa.rpo, usa.restore, usa.reaches_back) == ("Virginia", None, None, None)
    assert usa.expired, "what was never verified is no proof"


def test_a_verification_that_is_too_old_is_shown_as_expired() -> None:
    assert [each.regions[0].expired for each in promised(known(47))] == [False]
    assert [each.regions[0].expired for each in promised(known(49))] == [True]


def test_what_is_not_public_is_not_told() -> None:
    assert promised(known(), public=False) == []
    assert promised(known(), private=True) == []


async def test_the_page_in_both_languages() -> None:
    mark = Suspicion("x", at(90), at(91), "internal words")

    async def promises() -> Sequence[ClusterPromise]:
        return promised(known(49, suspects=(mark,)))

    async with running(FakeReader(overview(10)), promises=promises) as site:
        english, german = await ask(site, "/en/continuity"), await ask(site, "/de/continuity")
    assert (english.status, german.status) == (200, 200)
    assert "Europe &lt;i&gt; · Shop" in english.text
    for text in ("Frankfurt", "14 days", "1 min", "41 secs", "expired", "suspicion of damage", "never"):
        assert text in english.text, text
    for text in ("Kontinuität", "14 Tage", "abgelaufen", "unbekannt", "Verdacht auf Schäden"):
        assert text in german.text, text
    assert "internal words" not in english.text


async def test_without_anything_public_it_says_so_and_while_the_database_is_away_too() -> None:
    class AwayError(HoldfastError):
        """The database is away."""

        remedy = Remedy.TRANSIENT

    async def away() -> Sequence[ClusterPromise]:
        raise AwayError("away")

    async with running(FakeReader(overview(10))) as site:
        answer = await ask(site, "/en/continuity")
        assert answer.status == 200
        assert "No figures of backups are published here." in answer.text
        assert (await ask(site, "/xx/continuity")).status == 404
        assert "/en/continuity" in (await ask(site, "/en/formula")).text
    async with running(FakeReader(overview(10)), promises=away) as site:
        assert (await ask(site, "/en/continuity")).status == 503

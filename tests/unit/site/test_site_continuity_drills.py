"""Drills on the continuity page: promised beside measured, expired or not, and nothing that is not public."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from site_client import ask, running
from site_estates import FakeReader, overview
from test_site_continuity import estate
from tests.held import at

from holdfast.estate.drills import Drill
from holdfast.estate.model import Estate
from holdfast.estate.recovery import Recovery
from holdfast.recovery.continuity import ClusterDrills, Drilled, is_anything_public, public_drills
from holdfast.recovery.evidence import Measure

ALL = ("drilled", "measured", "target", "contract")


def with_drill(*public: str, private: bool = False) -> Estate:
    drill = Drill.model_validate(
        {"scenario": "restore", "subject": "shop", "valid_for": "2d", "public": public}
    )
    return estate(private=private).model_copy(update={"recovery": Recovery(drills={"d": drill})})


def drilled(hours_ago: float, took_s: float = 41.0) -> Drilled:
    rpo = Measure(target_ms=None, contract_ms=60_000, measured_ms=0)
    rto = Measure(target_ms=300_000, contract_ms=3_600_000, measured_ms=round(took_s * 1000))
    return Drilled("shop", "restore", at(100 - hours_ago), 1 << 30, rpo, rto)


def shown(*found: Drilled, public: Sequence[str] = ALL) -> ClusterDrills:
    [cluster] = public_drills(with_drill(*public), found, at(100))
    return cluster


def test_the_last_one_that_passed_and_the_worst_that_counts_still() -> None:
    [drill] = shown(drilled(1, 41), drilled(30, 90), drilled(60, 1000)).drills

    assert (drill.name, drill.samples, drill.expired) == ("Shop", 2, False)
    assert drill.drilled_at == at(99)
    assert (drill.rto.measured, drill.rto.worst) == (timedelta(seconds=41), timedelta(seconds=90))
    assert (drill.rto.target, drill.rto.contract) == (timedelta(minutes=5), timedelta(hours=1))
    assert (drill.rpo.target, drill.rpo.measured) == (None, timedelta(0))


def test_what_is_too_long_ago_is_expired_and_so_is_never() -> None:
    assert [each.expired for each in shown(drilled(47)).drills] == [False]
    assert [each.expired for each in shown(drilled(48)).drills] == [True]
    assert [each.expired for each in shown().drills] == [True]


@pytest.mark.parametrize("hidden", ALL)
def test_what_the_operator_does_not_show_is_not_there(hidden: str) -> None:
    [drill] = shown(drilled(1), public=[each for each in ALL if each != hidden]).drills

    told = {
        "drilled": drill.drilled_at,
        "measured": drill.rto.measured or drill.rto.worst or drill.data_bytes,
        "target": drill.rto.target,
        "contract": drill.rto.contract,
    }
    assert [name for name, value in told.items() if value is None] == [hidden]


def test_private_clusters_and_unpublished_drills_are_not_there() -> None:
    assert public_drills(with_drill(), [drilled(1)], at(100)) == []
    assert public_drills(with_drill(*ALL, private=True), [drilled(1)], at(100)) == []
    assert not is_anything_public(with_drill())
    assert not is_anything_public(estate())
    assert is_anything_public(with_drill("drilled"))


async def test_drills_on_the_page_in_both_languages() -> None:
    async def drills() -> Sequence[ClusterDrills]:
        return [shown(drilled(47, 41.6), public=["drilled", "measured"])]

    async with running(FakeReader(overview(10)), drills=drills) as site:
        english, german = await ask(site, "/en/continuity"), await ask(site, "/de/continuity")
    assert (english.status, german.status) == (200, 200)
    for text in ("Restoring a copy · Shop", "Europe &lt;i&gt;", "41 secs", "not published", "1 try counts"):
        assert text in english.text, text
    for text in ("Wiederherstellen einer Kopie", "Zuletzt erprobt", "nicht veröffentlicht", "1 Erprobung"):
        assert text in german.text, text
    assert "60 min" not in english.text
    assert "1 hr" not in english.text


async def test_an_expired_drill_says_so() -> None:
    async def drills() -> Sequence[ClusterDrills]:
        return [shown(drilled(50)), shown()]

    async with running(FakeReader(overview(10)), drills=drills) as site:
        page = await ask(site, "/en/continuity")
    assert page.text.count("<strong>expired</strong>") == 2
    assert "<td>none</td>" in page.text, "no target is not a target of nothing"
    assert "never" in page.text

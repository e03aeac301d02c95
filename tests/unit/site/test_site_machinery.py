"""Answers, the page cache, event streams and the stored snapshot."""

import asyncio
import gzip
import stat
from datetime import timedelta
from pathlib import Path
from typing import Any

import brotli
import pytest
from site_estates import NOW, overview

from holdfast.availability.model import State
from holdfast.interfaces.site.cache import PageCache, TooBusyError
from holdfast.interfaces.site.events import Streams
from holdfast.interfaces.site.responses import Answer, chosen_encoding
from holdfast.interfaces.site.snapshot import Snapshot, SnapshotFile, found, last_days
from holdfast.kernel.clock import ManualClock

TEXT = "availability " * 100


async def answered(
    answer: Answer, method: str = "GET", **headers: str
) -> tuple[int, dict[bytes, bytes], bytes]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    await answer({"method": method, "headers": raw}, None, send)
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]


async def test_an_answer_is_sent_in_the_encoding_asked_for() -> None:
    answer = Answer(TEXT, "text/plain")
    _, headers, body = await answered(answer)
    assert (headers.get(b"content-encoding"), body) == (None, TEXT.encode())
    _, headers, body = await answered(answer, accept_encoding="gzip, deflate, br")
    assert headers[b"content-encoding"] == b"br"
    assert brotli.decompress(body) == TEXT.encode()
    _, headers, body = await answered(answer, accept_encoding="gzip")
    assert gzip.decompress(body) == TEXT.encode()
    assert int(headers[b"content-length"]) == len(body)


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [
        (b"br;q=0, gzip", b"gzip"),
        (b"br; q=0.0 , gzip;q=0.000", b""),
        (b"gzip;q=0.5", b"gzip"),
        (b"GZIP", b"gzip"),
        (b"identity", b""),
        (b"", b""),
    ],
)
def test_a_weight_of_zero_means_never(accepted: bytes, chosen: bytes) -> None:
    assert chosen_encoding(accepted) == chosen


async def test_a_known_version_is_not_sent_again() -> None:
    answer = Answer(TEXT, "text/plain")
    _, headers, _ = await answered(answer)
    etag = headers[b"etag"].decode()
    for known in (etag, f'"other", {etag}', "*"):
        status, headers, body = await answered(answer, if_none_match=known)
        assert (status, body) == (304, b"")
        assert b"content-security-policy" in headers
    status, _, _ = await answered(answer, if_none_match='W/"other"')
    assert status == 200


async def test_head_has_the_length_and_no_body() -> None:
    _, headers, body = await answered(Answer(TEXT, "text/plain"), "HEAD")
    assert body == b""
    assert int(headers[b"content-length"]) == len(TEXT)


class Maker:
    def __init__(self) -> None:
        self.count = 0
        self.at_once = 0
        self.most_at_once = 0
        self.go = asyncio.Event()

    async def __call__(self) -> Answer:
        self.count += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await self.go.wait()
        self.at_once -= 1
        return Answer(f"page {self.count}", "text/plain")


async def test_a_page_asked_for_often_is_made_once() -> None:
    cache, maker = PageCache(ManualClock(NOW)), Maker()
    asking = [asyncio.create_task(cache.get("page", maker)) for _ in range(50)]
    await asyncio.sleep(0)
    asking.pop().cancel()  # one visitor leaves, the others still get their page
    maker.go.set()
    answers = await asyncio.gather(*asking)
    assert maker.count == 1
    assert len(set(map(id, answers))) == 1


async def test_a_page_is_made_anew_when_it_is_too_old() -> None:
    clock, maker = ManualClock(NOW), Maker()
    maker.go.set()
    cache = PageCache(clock, ttl_s=5)
    first = await cache.get("page", maker)
    clock.advance(4.9)
    assert await cache.get("page", maker) is first
    clock.advance(0.2)
    assert await cache.get("page", maker) is not first


async def test_few_pages_are_made_at_once_and_few_may_wait() -> None:
    cache, maker = PageCache(ManualClock(NOW), width=2, queue=6), Maker()
    asking = [asyncio.create_task(cache.get(number, maker)) for number in range(6)]
    await asyncio.sleep(0)
    with pytest.raises(TooBusyError):
        await cache.get("one more", maker)
    for _ in range(20):
        await asyncio.sleep(0)
    assert maker.at_once == 2
    maker.go.set()
    await asyncio.gather(*asking)
    assert maker.most_at_once == 2


async def test_the_cache_keeps_a_bounded_number_of_pages() -> None:
    cache, maker = PageCache(ManualClock(NOW), entries=3), Maker()
    maker.go.set()
    for number in range(10):
        await cache.get(number, maker)
    await cache.get(9, maker)
    assert maker.count == 10
    await cache.get(0, maker)
    assert maker.count == 11


async def test_a_failure_reaches_who_asked_and_is_not_kept() -> None:
    cache = PageCache(ManualClock(NOW))

    async def fails() -> Answer:
        raise OSError("away")

    with pytest.raises(OSError, match="away"):
        await cache.get("page", fails)
    maker = Maker()
    maker.go.set()
    assert (await cache.get("page", maker)).status == 200


class Visitor:
    """Listens to a stream; `leaves` ends it from this side, `stuck` stops reading."""

    def __init__(self, streams: Streams, address: str = "192.0.2.1") -> None:
        self.heard: list[bytes] = []
        self.status = 0
        self.told = asyncio.Event()
        self.leaves = asyncio.Event()
        self.stuck = False
        scope = {"type": "http", "method": "GET", "client": (address, 1), "headers": []}
        self.task = asyncio.create_task(streams(scope, self._receive, self._send))

    async def _receive(self) -> Any:
        await self.leaves.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if self.stuck:
            await asyncio.Event().wait()
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            self.heard.append(message["body"])
        self.told.set()

    async def until(self, text: bytes) -> None:
        async with asyncio.timeout(30):
            while text not in b"".join(self.heard):
                self.told.clear()
                await self.told.wait()


async def test_a_change_reaches_everybody_who_listens() -> None:
    streams = Streams(heartbeat_s=600)
    visitors = [Visitor(streams) for _ in range(3)]
    for each in visitors:
        await each.until(b"retry:")
    streams.announce()
    for each in visitors:
        await each.until(b"event: changed")
        each.leaves.set()
        await each.task
    assert len(streams) == 0


async def test_many_changes_while_nobody_reads_become_one() -> None:
    streams = Streams(heartbeat_s=600)
    visitor = Visitor(streams)
    await visitor.until(b"retry:")
    for _ in range(100):
        streams.announce()
    await visitor.until(b"data: 100")
    assert b"".join(visitor.heard).count(b"event: changed") == 1
    visitor.leaves.set()
    await visitor.task


async def test_a_quiet_stream_beats() -> None:
    visitor = Visitor(streams := Streams(heartbeat_s=0.001))
    await visitor.until(b": still here")
    streams.close()
    await visitor.task


async def test_streams_are_capped_in_total_and_by_address() -> None:
    streams = Streams(most=3, most_per_address=2, heartbeat_s=600)
    kept = [Visitor(streams, "a"), Visitor(streams, "a"), Visitor(streams, "b")]
    for each in kept:
        await each.until(b"retry:")
    for address in ("a", "c"):
        refused = Visitor(streams, address)
        await refused.task
        assert refused.status == 503
    kept[2].leaves.set()
    await kept[2].task
    refused = Visitor(streams, "a")
    await refused.task
    assert refused.status == 503
    welcome = Visitor(streams, "c")
    await welcome.until(b"retry:")
    streams.close()
    await asyncio.gather(welcome.task, *(each.task for each in kept))


async def test_who_does_not_read_is_let_go() -> None:
    streams = Streams(heartbeat_s=600, patience_s=0.01)
    visitor = Visitor(streams)
    await visitor.until(b"retry:")
    visitor.stuck = True
    streams.announce()
    await visitor.task
    assert len(streams) == 0


async def test_closing_ends_all_streams_and_refuses_new_ones() -> None:
    streams = Streams(heartbeat_s=600)
    visitor = Visitor(streams)
    await visitor.until(b"retry:")
    streams.close()
    await visitor.task
    late = Visitor(streams)
    await late.task
    assert late.status == 503


def test_a_snapshot_comes_back_as_it_was(tmp_path: Path) -> None:
    snapshot = Snapshot(
        overview(10, states={("eu", "api"): State.MAJOR_OUTAGE}, maintained=("usa", "website"), sample=True)
    )
    file = SnapshotFile(tmp_path / "site" / "snapshot.json")
    file.store(snapshot)
    again = file.load()
    assert again is not None
    assert again.overview == snapshot.overview
    for cluster, other in zip(again.overview.clusters, snapshot.overview.clusters, strict=True):
        for one, two in zip(cluster.components, other.components, strict=True):
            assert one.figure.availability == two.figure.availability
            assert isinstance(one.status.state, State)


def test_a_snapshot_is_its_owners_alone_and_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "site" / "snapshot.json"
    for _ in range(2):
        SnapshotFile(path).store(Snapshot(overview(3)))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["snapshot.json"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"overview": {}, "format": 1}', b"\xff\xfe"])
def test_a_torn_or_foreign_file_counts_as_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "snapshot.json"
    path.write_bytes(content)
    assert SnapshotFile(path).load() is None
    assert SnapshotFile(tmp_path / "missing.json").load() is None


def test_a_file_of_another_format_counts_as_none(tmp_path: Path) -> None:
    file = SnapshotFile(tmp_path / "snapshot.json")
    file.store(Snapshot(overview(1), format=1))
    assert file.load() is None


def test_the_last_days_have_their_own_figure() -> None:
    component = found(overview(3), "eu", "website")
    assert component is not None
    week = last_days(component, 7)
    assert len(week.days) == 7
    assert week.figure.tally.total == sum((day.figure.tally.total for day in week.days), timedelta())
    assert week.window.end == component.window.end

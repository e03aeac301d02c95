"""One copy brought up to date: what changed and nothing else, in an order that never shows a hole."""

from datetime import UTC, datetime, timedelta

import pytest
from obstore.store import MemoryStore

from holdfast.adapters.objectstore.bucket import Bucket
from holdfast.interfaces.staticsite.copying import File
from holdfast.interfaces.staticsite.pushing import NOTE, Prepared, prepared, push

NOW = datetime(2026, 11, 22, 13, 0, tzinfo=UTC)
HTML = "text/html; charset=utf-8"
MINUTE = timedelta(minutes=1)


class Noting:
    """A bucket that keeps the order of what it was asked for, and fails where it is told to."""

    def __init__(self) -> None:
        self.bucket = Bucket(MemoryStore())
        self.done: list[str] = []
        self.caches: dict[str, str] = {}
        self.fails_at = ""

    async def put(self, path: str, content: bytes, *, media_type: str, cache: str) -> None:
        if path == self.fails_at:
            raise OSError("no")
        await self.bucket.put(path, content, media_type=media_type, cache=cache)
        self.done.append(f"+{path}")
        self.caches[path] = cache

    async def get(self, path: str) -> bytes | None:
        return await self.bucket.get(path)

    async def delete(self, path: str) -> None:
        await self.bucket.delete(path)
        self.done.append(f"-{path}")

    def take(self) -> list[str]:
        done, self.done = self.done, []
        return [each for each in done if NOTE not in each]


def files(*told: tuple[str, str], at: datetime = NOW) -> dict[str, Prepared]:
    kinds = {"html": HTML, "css": "text/css", "json": "application/json", "svg": "image/svg+xml"}
    return {
        path: prepared(File(path, kinds[path.rpartition(".")[2]], content.encode()), at)
        for path, content in told
    }


SITE = (
    ("static/a.css", "css"),
    ("favicon.svg", "svg"),
    ("api/v1/status.json", '{"as_of":"2026-11-22T13:00:00Z","state":"ok"}'),
    ("de/clusters/eu/api/index.html", "api"),
    ("de/clusters/eu/index.html", "eu"),
    ("de/index.html", "de"),
    ("index.html", "root"),
)


async def test_what_pages_need_is_there_before_them_and_entrances_come_last() -> None:
    place = Noting()
    done = await push(place, files(*SITE), NOW, whole=True)

    assert (done.written, done.removed) == (7, 0)
    order = place.take()
    assert order[0] == "+static/a.css"
    assert set(order[1:3]) == {"+favicon.svg", "+api/v1/status.json"}
    assert order[3:] == [f"+{path}" for path, _ in SITE[3:]]
    assert await place.get("de/index.html") == b"de"
    assert "immutable" in place.caches["static/a.css"]
    assert "max-age=30" in place.caches["index.html"]


async def test_only_what_changed_is_written_again() -> None:
    place = Noting()
    await push(place, files(*SITE), NOW, whole=True)
    place.take()

    assert (await push(place, files(*SITE), NOW + MINUTE, whole=True)).written == 0
    changed = [*SITE[:5], ("de/index.html", "anew"), SITE[6]]
    await push(place, files(*changed), NOW + MINUTE, whole=True)
    assert place.take() == ["+de/index.html"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            '<p class="wide when" data-copy>made 13:00</p>x',
            '<p class="wide when" data-copy>made 13:01</p>x',
        ),
        (
            'Last updated <time datetime="2026-11-22T13:00:00+00:00">13:00</time>',
            'Last updated <time datetime="2026-11-22T13:01:00+00:00">13:01</time>',
        ),
    ],
)
async def test_a_page_that_differs_in_its_time_alone_is_written_now_and_then(before: str, after: str) -> None:
    place = Noting()
    await push(place, files(("a.html", before)), NOW, whole=True)
    assert (
        await push(place, files(("a.html", after), at=NOW + MINUTE), NOW + MINUTE, whole=True)
    ).written == 0
    later = NOW + 5 * MINUTE
    assert (await push(place, files(("a.html", after), at=NOW + MINUTE), later, whole=True)).written == 1


async def test_a_time_that_is_news_counts() -> None:
    place = Noting()
    old = '<time datetime="2026-11-20T13:00:00+00:00">x</time>'
    await push(place, files(("a.html", old)), NOW, whole=True)
    assert (await push(place, files(("a.html", old.replace("11-20", "11-21"))), NOW, whole=True)).written == 1


async def test_what_is_gone_goes_after_everything_else_and_styles_a_day_later() -> None:
    place = Noting()
    await push(place, files(*SITE), NOW, whole=True)
    place.take()
    left = [("static/b.css", "new"), *SITE[1:3], *SITE[4:6], ("index.html", "other")]

    await push(place, files(*left), NOW + MINUTE, whole=True)
    assert place.take() == ["+static/b.css", "+index.html", "-de/clusters/eu/api/index.html"]
    assert await place.get("static/a.css") == b"css", "somebody may still have its page open"

    await push(place, files(*left), NOW + timedelta(days=1, minutes=2), whole=True)
    assert place.take()[-1] == "-static/a.css"


async def test_nothing_goes_while_not_everything_is_known() -> None:
    place = Noting()
    await push(place, files(*SITE), NOW, whole=True)
    done = await push(place, files(SITE[-1]), NOW, whole=False)
    assert done.removed == 0
    assert await place.get("de/index.html") == b"de"


async def test_dying_on_the_way_costs_a_repetition_and_loses_nothing() -> None:
    place = Noting()
    place.fails_at = "de/clusters/eu/index.html"
    with pytest.raises(OSError, match="no"):
        await push(place, files(*SITE), NOW, whole=True)
    assert "+de/index.html" not in place.take(), "no page is there whose links lead nowhere"

    place.fails_at = ""
    assert (await push(place, files(*SITE), NOW, whole=True)).written == 7
    assert await place.get("index.html") == b"root"


async def test_a_note_that_is_torn_is_as_good_as_none() -> None:
    place = Noting()
    await push(place, files(*SITE), NOW, whole=True)
    await place.put(NOTE, b'{"files": {"x": ', media_type="application/json", cache="")
    assert (await push(place, files(*SITE), NOW, whole=True)).written == 7


async def test_two_processes_push_one_copy() -> None:
    """Each reads what the other noted: nothing is written twice, nothing is lost."""
    place = Noting()
    await push(place, files(*SITE), NOW, whole=True)
    anew = [*SITE[:6], ("index.html", "by the other")]
    await push(place, files(*anew), NOW, whole=True)
    place.take()
    await push(place, files(*anew), NOW, whole=True)
    assert place.take() == []


async def test_a_clock_that_was_set_back_stops_no_page() -> None:
    place = Noting()
    await push(place, files(*SITE), NOW + timedelta(days=300), whole=True)
    assert (await push(place, files(*SITE), NOW, whole=True)).written == 4, "the pages, which tell the time"

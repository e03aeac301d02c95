"""What every place for copies promises, over a folder, over memory, and over S3 as it is spoken."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from urllib.parse import unquote

import pytest
from aiohttp import web
from obstore.store import MemoryStore

from holdfast.adapters.objectstore.bucket import Bucket, BucketAway, BucketRefused, in_a_line, open_bucket


class S3:
    """So much of S3 as a bucket needs: objects by path, with their headers. It wants signed requests."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, str, str]] = {}
        self.requests: list[str] = []
        self.refusing = False
        self.failing = 0
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(f"{request.method} {request.rel_url}")
        if self.failing:
            self.failing -= 1
            return web.Response(status=503)
        if self.refusing or not request.headers.get("authorization", "").startswith("AWS4-HMAC-SHA256"):
            return web.Response(status=403, text="<Error><Code>AccessDenied</Code></Error>")
        key = unquote(request.path).removeprefix("/bucket/")
        if request.method == "PUT":
            headers = request.headers
            body = await request.read()
            self.objects[key] = (body, headers.get("content-type", ""), headers.get("cache-control", ""))
            return web.Response(headers={"etag": f'"{hashlib.md5(body).hexdigest()}"'})
        if request.method == "POST" and "delete" in request.query:
            text = (await request.read()).decode()
            keys = [part.partition("</Key>")[0] for part in text.split("<Key>")[1:]]
            for each in keys:
                self.objects.pop(each, None)
            told = "".join(f"<Deleted><Key>{each}</Key></Deleted>" for each in keys)
            return web.Response(text=f"<DeleteResult>{told}</DeleteResult>", content_type="application/xml")
        if request.method == "GET" and "list-type" in request.query:
            return web.Response(
                text=self._listed(request.query.get("prefix", "")), content_type="application/xml"
            )
        found = self.objects.get(key)
        if request.method == "DELETE":
            self.objects.pop(key, None)
            return web.Response(status=204)
        if found is None:
            return web.Response(status=404, text="<Error><Code>NoSuchKey</Code></Error>")
        now = format_datetime(datetime.now(UTC), usegmt=True)
        return web.Response(
            body=found[0], headers={"last-modified": now, "etag": '"x"', "content-type": found[1]}
        )

    def _listed(self, prefix: str) -> str:
        told = "".join(
            f"<Contents><Key>{key}</Key><LastModified>2026-11-22T13:00:00.000Z</LastModified>"
            f"<ETag>x</ETag><Size>{len(each[0])}</Size></Contents>"
            for key, each in sorted(self.objects.items())
            if key.startswith(prefix)
        )
        return f"<ListBucketResult><IsTruncated>false</IsTruncated>{told}</ListBucketResult>"


@pytest.fixture
async def s3() -> AsyncIterator[S3]:
    service = S3()
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", service.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    place = web.TCPSite(runner, "127.0.0.1", 0)
    await place.start()
    service.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield service
    await runner.cleanup()


def s3_bucket(service: S3, secret: str = "a-very-secret-key") -> Bucket:
    options = {
        "access_key_id": "key",
        "secret_access_key": secret,
        "region": "eu-central-1",
        "endpoint": service.url,
        "allow_http": "true",
    }
    return open_bucket("s3://bucket/some/prefix", options)


@pytest.fixture(params=["folder", "memory", "s3"])
async def bucket(request: pytest.FixtureRequest, tmp_path: Path, s3: S3) -> Bucket:
    match request.param:
        case "folder":
            return open_bucket(f"file://{tmp_path}/not/there/yet", {})
        case "memory":
            return Bucket(MemoryStore())
    return s3_bucket(s3)


async def put(bucket: Bucket, path: str, content: bytes) -> None:
    await bucket.put(path, content, media_type="text/html; charset=utf-8", cache="no-cache")


async def test_what_was_put_is_there_and_is_replaced(bucket: Bucket) -> None:
    await put(bucket, "de/clusters/eu/index.html", b"one")
    await put(bucket, "de/clusters/eu/index.html", b"two")
    await put(bucket, "index.html", "ü".encode() * 100_000)

    assert await bucket.get("de/clusters/eu/index.html") == b"two"
    assert await bucket.get("index.html") == "ü".encode() * 100_000
    assert await bucket.paths() == ["de/clusters/eu/index.html", "index.html"]


async def test_what_is_not_there_is_none(bucket: Bucket) -> None:
    assert await bucket.get("never/was.html") is None


async def test_what_was_deleted_is_gone_however_often(bucket: Bucket) -> None:
    await put(bucket, "a/b.html", b"x")
    await bucket.delete("a/b.html")
    await bucket.delete("a/b.html")

    assert await bucket.get("a/b.html") is None
    assert await bucket.paths() == []


async def test_empty_objects_and_hidden_names_are_objects_too(bucket: Bucket) -> None:
    await put(bucket, ".holdfast-copy.json", b"")
    assert await bucket.get(".holdfast-copy.json") == b""


async def test_many_are_put_at_once(bucket: Bucket) -> None:
    await asyncio.gather(*(put(bucket, f"p/{turn}.html", b"%d" % turn) for turn in range(50)))
    assert len(await bucket.paths()) == 50
    assert await bucket.get("p/49.html") == b"49"


# --- S3, where it differs


async def test_objects_carry_their_type_and_how_long_they_hold(s3: S3) -> None:
    await s3_bucket(s3).put("a.css", b"x", media_type="text/css; charset=utf-8", cache="public, max-age=1")
    assert s3.objects == {"some/prefix/a.css": (b"x", "text/css; charset=utf-8", "public, max-age=1")}


async def test_a_hiccup_is_tried_again(s3: S3) -> None:
    s3.failing = 2
    await put(s3_bucket(s3), "a", b"x")
    assert len(s3.requests) == 3


async def test_one_that_is_away_is_given_up_soon(s3: S3) -> None:
    s3.failing = 1000
    with pytest.raises(BucketAway):
        await put(s3_bucket(s3), "a", b"x")
    assert len(s3.requests) <= 4


async def test_a_refusal_is_a_matter_for_a_person_and_tells_no_secret(s3: S3) -> None:
    s3.refusing = True
    with pytest.raises(BucketRefused) as refused:
        await put(s3_bucket(s3, "hunter2hunter2"), "a", b"x")
    assert "hunter2" not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("s3://bucket", {"nonsense": "x"}),
        ("file:///tmp/x", {"region": "x"}),
        ("gs://bucket", {"google_service_account": "/nowhere/key.json"}),
        ("az://", {}),
        ("gopher://bucket", {}),
    ],
)
def test_what_cannot_be_meant_is_refused_at_once(url: str, options: dict[str, str]) -> None:
    with pytest.raises(BucketRefused):
        open_bucket(url, options)


async def test_nobody_at_the_address_is_away() -> None:
    options = {"access_key_id": "a", "secret_access_key": "b", "region": "x", "allow_http": "true"}
    bucket = open_bucket("s3://bucket", {**options, "endpoint": "http://127.0.0.1:1"})
    with pytest.raises(BucketAway):
        await bucket.get("a")


def test_errors_are_told_without_secrets_and_signed_addresses() -> None:
    error = OSError(
        "PUT https://x.blob.example/c?sig=abcdef&se=1 with hunter2hunter2\nfailed\n\nDebug source: y"
    )
    assert in_a_line(error, ["hunter2hunter2", "x"]) == "PUT https://x.blob.example/c with *** failed"

"""So much of S3 as a region needs, in this process, with what may go wrong at a switch."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

_DENIED = b"<Error><Code>AccessDenied</Code></Error>"
_FULL = (
    b"<Error><Code>XMinioStorageFull</Code><Message>Storage backend has reached its limit</Message></Error>"
)


@dataclass
class Faulty:
    """What the store holds, and what is wrong with it."""

    url: str = ""
    objects: dict[str, bytes] = field(default_factory=dict)
    requests: int = 0
    puts: int = 0
    failing: int = 0
    """So many requests more are answered with 503."""
    lose_answers: int = 0
    """So many puts more are done, and answered with 503."""
    swap_for: bytes | None = None
    """What a put whose answer is lost stores in the place of what it was given, once."""
    refusing: bool = False
    full: bool = False

    @property
    def options(self) -> dict[str, str]:
        return {"access_key_id": "key", "region": "eu-central-1", "endpoint": self.url, "allow_http": "true"}


@contextmanager
def faulty_store() -> Iterator[Faulty]:
    store = Faulty()

    class Bound(_Handler):
        faulty = store

    server = ThreadingHTTPServer(("127.0.0.1", 0), Bound)
    store.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    faulty: ClassVar[Faulty]

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers.get("content-length", 0)))
        if not self._well():
            return
        store, key = self.faulty, self._key()
        store.puts += 1
        if store.full:
            self._answer(507, _FULL)
        elif self.headers.get("if-none-match") == "*" and key in store.objects:
            self._answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")
        elif store.lose_answers:
            store.lose_answers -= 1
            store.objects[key], store.swap_for = store.swap_for or content, None
            self._answer(503)
        else:
            store.objects[key] = content
            self._answer(200)

    def do_GET(self) -> None:
        if not self._well():
            return
        query = parse_qs(urlsplit(self.path).query)
        if "list-type" in query:
            prefix = query.get("prefix", [""])[0]
            told = "".join(
                f"<Contents><Key>{key}</Key><LastModified>2026-11-22T13:00:00.000Z</LastModified>"
                f"<ETag>x</ETag><Size>{len(content)}</Size></Contents>"
                for key, content in sorted(self.faulty.objects.items())
                if key.startswith(prefix)
            )
            listed = f"<ListBucketResult><IsTruncated>false</IsTruncated>{told}</ListBucketResult>"
            self._answer(200, listed.encode())
            return
        content = self.faulty.objects.get(self._key())
        if content is None:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        else:
            self._answer(200, content)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        if self._well():
            self._answer(200, b"<DeleteResult></DeleteResult>")

    do_HEAD = do_DELETE = do_GET  # noqa: N815  as the base names them

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  as its base names it
        pass

    def _key(self) -> str:
        return unquote(urlsplit(self.path).path).removeprefix("/bucket/")

    def _well(self) -> bool:
        store = self.faulty
        store.requests += 1
        if store.failing:
            store.failing -= 1
            self._answer(503)
            return False
        if store.refusing:
            self._answer(403, _DENIED)
            return False
        return True

    def _answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.send_header("last-modified", formatdate(usegmt=True))
        self.send_header("etag", f'"{hashlib.md5(body).hexdigest()}"')
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

"""What comes back: an HTTP/1 answer parsed as it arrives, with a bound on all that the target chooses."""

import asyncio
import re
import zlib
from typing import Any

import httptools

from holdfast.adapters.probes.errors import AttemptFailed, words_for

MOST_BODY = 1_048_576
MOST_HEAD = 65_536
MOST_HEADERS = 200
_MOST_INTERIM = 10
_MOST_MEMBERS = 16
_CUT_SHORT = "connection closed before the answer was complete"
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([a-z0-9_.:-]{1,40})", re.IGNORECASE)
_CHARSETS = re.compile(  # those that are text and decode in linear time
    r"iso-8859-\d{1,2}|windows-125\d|latin1|utf-16(?:le|be)?|shift_jis|euc-(?:jp|kr)|gbk|gb2312|gb18030|big5|koi8-[ru]"
)


class Answer:
    """The answer to one request.

    `begun` and `finished` are done with the first byte and with the end, good or bad; `failure` then says in
    words why there is no complete answer. A body that is too long is cut, which is no failure.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, head_only: bool) -> None:
        self.begun: asyncio.Future[None] = loop.create_future()
        self.finished: asyncio.Future[None] = loop.create_future()
        self.failure: str | None = None
        self.status = 0
        self.headers: dict[str, str] = {}
        self.truncated = False
        self._head_only = head_only
        self._parser: Any = httptools.HttpResponseParser(self)
        self._head_done = False
        self._head_size = 0
        self._header_count = 0
        self._interim = 0
        self._body: list[bytes] = []
        self._body_size = 0

    # what the wire calls

    def feed(self, received: bytes) -> None:
        if self._parser is None:
            return
        if not self.begun.done():
            self.begun.set_result(None)
        if not self._head_done:
            self._head_size += len(received)
        try:
            self._parser.feed_data(received)
        except (
            httptools.HttpParserUpgrade
        ):  # the other side switches protocols; its status is all we came for
            self._finish()
        except httptools.HttpParserError as error:
            self._finish(f"not HTTP: {str(error).lower()[:80]}")
        if not self._head_done and self._head_size > MOST_HEAD:
            self._finish("the answer's headers are too long")

    def ended(self, error: Exception | None) -> None:
        if self._parser is None:
            return
        if error is not None:
            self._finish(words_for(error))
        elif self._head_done and self._until_close():
            self._finish()
        else:
            self._finish(_CUT_SHORT if self.begun.done() else "connection closed without an answer")

    # what the parser calls

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head_done:  # a trailer
            return
        self._header_count += 1
        if self._header_count > MOST_HEADERS:
            self._finish("the answer has too many headers")
            return
        key, text = name.decode("latin-1").lower(), value.decode("latin-1").strip()
        self.headers[key] = f"{self.headers[key]}, {text}" if key in self.headers else text

    def on_headers_complete(self) -> None:
        if self._parser is None:
            return
        self.status = self._parser.get_status_code()
        if not 100 <= self.status <= 999 or self._parser.get_http_version() not in ("1.1", "1.0"):
            self._finish("not HTTP/1.1: unknown version or status")
        elif 100 <= self.status < 200 and self.status != 101:
            self._interim += 1
            self.headers = {}
            if self._interim > _MOST_INTERIM:
                self._finish("too many interim answers")
        elif sum(len(name) + len(value) for name, value in self.headers.items()) > MOST_HEAD:
            self._finish("the answer's headers are too long")
        else:
            self._head_done = True
            if self._head_only or self.status == 101:
                self._finish()

    def on_body(self, received: bytes) -> None:
        if self._parser is None:
            return
        room = MOST_BODY - self._body_size
        if len(received) > room:
            received, self.truncated = received[:room], True
        self._body.append(received)
        self._body_size += len(received)
        if self.truncated:
            self._finish()

    def on_message_complete(self) -> None:
        if self._head_done:
            self._finish()

    # what the probe asks

    def facts(self) -> dict[str, object]:
        """What the condition language names. Raises AttemptFailed when the body cannot be decoded."""
        facts: dict[str, object] = {"status": self.status, "headers": self.headers}
        body = self._decoded()
        if body is not None:
            facts["body"] = self._text(body)
            facts["body_truncated"] = self.truncated
        return facts

    def _decoded(self) -> bytes | None:
        """The body without its content coding; None for a coding that we did not ask for and do not know."""
        body = b"".join(self._body)
        coding = self.headers.get("content-encoding", "identity").lower()
        if coding in ("identity", "") or not body:
            return body
        if coding not in ("gzip", "x-gzip", "deflate"):
            return None
        try:
            decoded, more = _inflate(body, complete=not self.truncated)
        except zlib.error as error:
            raise AttemptFailed(f"the answer's {coding} coding is broken") from error
        self.truncated = self.truncated or more
        return decoded

    def _text(self, body: bytes) -> bytes | str:
        """Text in a declared charset other than UTF-8, else the bytes, to be read as UTF-8 when needed."""
        charset = _CHARSET.search(self.headers.get("content-type", ""))
        if charset is None or not _CHARSETS.fullmatch(charset[1].lower()):
            return body
        return body.decode(charset[1].lower(), "replace")

    def _until_close(self) -> bool:
        return (
            "content-length" not in self.headers
            and "chunked" not in self.headers.get("transfer-encoding", "").lower()
        )

    def _finish(self, failure: str | None = None) -> None:
        if self._parser is None:
            return
        self._parser = None  # it holds our methods: a cycle that would wait for the garbage collector
        self.failure = failure
        for future in (self.begun, self.finished):
            if not future.done():
                future.set_result(None)


def _inflate(body: bytes, *, complete: bool) -> tuple[bytes, bool]:
    """At most 1 MiB of what `body` unpacks to, and whether there is more. Raises zlib.error."""
    try:
        return _unpack(body, zlib.MAX_WBITS | 32, complete=complete)
    except zlib.error:
        # "deflate" is zlib by the RFC and raw deflate by the habit of some servers.
        return _unpack(body, -zlib.MAX_WBITS, complete=complete)


def _unpack(body: bytes, bits: int, *, complete: bool) -> tuple[bytes, bool]:
    unpacked = bytearray()
    for _ in range(_MOST_MEMBERS):
        member = zlib.decompressobj(bits)
        unpacked += member.decompress(body, MOST_BODY + 1 - len(unpacked))
        if len(unpacked) > MOST_BODY:
            return bytes(unpacked[:MOST_BODY]), True
        if not member.eof:
            if complete:
                raise zlib.error("ends too early")
            return bytes(unpacked), True
        body = member.unused_data
        if not body.startswith(b"\x1f\x8b"):  # padding after the last member is common
            return bytes(unpacked), False
    return bytes(unpacked), True

"""The way to the controller: one HTTP connection, used in a thread, bounded in size and time."""

import asyncio
import contextlib
import gzip
import http.client
import json
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar
from urllib.parse import SplitResult, urlsplit

from holdfast.availability.agent import DeliveryRefused, LoginRefused, UplinkError
from holdfast.availability.exchange import (
    CHECKS_PATH,
    RESULTS_PATH,
    MessageError,
    Orders,
    ReceiptMessage,
    decode_checks,
    decode_receipt,
    encode_delivery,
)
from holdfast.availability.ingest import Losses
from holdfast.availability.model import Result, one_line
from holdfast.kernel.errors import HoldfastError, Remedy

Message = TypeVar("Message")
STEP_WITHIN_S = 15.0
CALL_WITHIN_S = 60.0
LARGEST_ANSWER = 32 * 1024 * 1024
PACKED_FROM = 1024
_NEVER = (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY)
_REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


class WrongAddress(HoldfastError):  # noqa: N818
    """The controller's address, or its authorities, cannot be used."""

    remedy = Remedy.NEEDS_OPERATOR


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


class Connection:
    """One connection to one address, made when it is needed and made anew when it broke. For one thread."""

    def __init__(self, url: str, ca_file: Path | None) -> None:
        """Raises WrongAddress. https is verified against `ca_file`, or the system's authorities."""
        parts, port = _parts(url)
        self._host, self._path = parts.hostname or "", parts.path.rstrip("/")
        self._port = port
        self._context: ssl.SSLContext | None = None
        if parts.scheme == "https":
            try:
                self._context = ssl.create_default_context(cafile=ca_file)
            except (OSError, ssl.SSLError) as error:
                raise WrongAddress(f"{ca_file} holds no authorities", hint="give a PEM file") from error
        self._open: http.client.HTTPConnection | None = None

    def call(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        """Raises OSError and http.client.HTTPException. Every step ends within STEP_WITHIN_S."""
        reused = self._open is not None
        try:
            return self._call(method, path, headers, body)
        except (ConnectionError, http.client.RemoteDisconnected, http.client.BadStatusLine):
            self.close()
            if not reused:
                raise
        # The other side had closed an idle connection. Repeating is harmless: deliveries are absorbed.
        return self._call(method, path, headers, body)

    def _call(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        if self._open is None:
            self._open = self._made()
        try:
            self._open.request(method, self._path + path, body, dict(headers))
            response = self._open.getresponse()
            answer = _bounded(response)
            if response.will_close:
                self.close()
            lowered = {name.lower(): text for name, text in response.getheaders()}
            return Answer(response.status, lowered, answer)
        except BaseException:
            self.close()
            raise

    def _made(self) -> http.client.HTTPConnection:
        if self._context is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=STEP_WITHIN_S)
        return http.client.HTTPSConnection(
            self._host, self._port, timeout=STEP_WITHIN_S, context=self._context
        )

    def abort(self) -> None:
        """Make a call that another thread waits in fail now."""
        used = self._open
        if used is not None and used.sock is not None:
            with contextlib.suppress(OSError):
                used.sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        used, self._open = self._open, None
        if used is not None:
            used.close()


def _bounded(response: http.client.HTTPResponse) -> bytes:
    body = response.read(LARGEST_ANSWER + 1)
    if len(body) > LARGEST_ANSWER:
        raise http.client.HTTPException("the answer is too large")
    return body


class HttpUplink:
    """Uplink over HTTP. `token` is asked for with each call, so that a replaced file is seen."""

    def __init__(
        self,
        url: str,
        token: Callable[[], str],
        *,
        ca_file: Path | None = None,
        keep: Callable[[bytes], None] | None = None,
    ) -> None:
        """`keep` is handed each new list of checks as it came. Raises WrongAddress."""
        self._token = token
        self._keep = keep
        self._tag = ""
        # One for each of the two things that an agent asks at the same time.
        self._asking = Connection(url, ca_file)
        self._delivering = Connection(url, ca_file)

    async def orders(self) -> Orders | None:
        headers = {"if-none-match": self._tag} if self._tag else {}
        answer = await self._call(self._asking, "GET", CHECKS_PATH, headers, None)
        if answer.status == HTTPStatus.NOT_MODIFIED:
            return None
        orders = _understood(decode_checks, _expected(answer))
        if self._keep is not None:
            await asyncio.to_thread(self._keep, answer.body)
        self._tag = answer.headers.get("etag", "")
        return orders

    async def deliver(self, results: Sequence[Result], losses: Losses | None) -> ReceiptMessage:
        body = encode_delivery(results, losses)
        headers = {"content-type": "application/json"}
        if len(body) >= PACKED_FROM:
            body = await asyncio.to_thread(gzip.compress, body, 6)
            headers["content-encoding"] = "gzip"
        answer = await self._call(self._delivering, "POST", RESULTS_PATH, headers, body)
        if answer.status in _NEVER:
            raise DeliveryRefused(_said(answer))
        return _understood(decode_receipt, _expected(answer))

    def close(self) -> None:
        self._asking.close()
        self._delivering.close()

    async def _call(
        self, connection: Connection, method: str, path: str, headers: Mapping[str, str], body: bytes | None
    ) -> Answer:
        given = {**headers, "authorization": f"Bearer {self._token()}", "user-agent": "holdfast-agent"}
        calling = asyncio.ensure_future(asyncio.to_thread(connection.call, method, path, given, body))
        try:
            async with asyncio.timeout(CALL_WITHIN_S):
                return await asyncio.shield(calling)
        except TimeoutError as error:
            await _ended(connection, calling)
            raise UplinkError("the controller took too long") from error
        except asyncio.CancelledError:
            await _ended(connection, calling)
            raise
        except ssl.SSLCertVerificationError as error:
            hint = "give its authority with --ca-file"
            raise UplinkError(f"the certificate is not valid: {error.verify_message}", hint=hint) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            text = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise UplinkError(f"the controller cannot be reached: {one_line(str(text))}") from error


async def _ended(connection: Connection, calling: "asyncio.Future[Answer]") -> None:
    """A thread cannot be cancelled; the socket that it waits for can be ended."""
    while not calling.done():
        connection.abort()
        await asyncio.wait([calling], timeout=0.1)
    if not calling.cancelled():
        calling.exception()


def _expected(answer: Answer) -> bytes:
    if answer.status == HTTPStatus.OK:
        return answer.body
    if answer.status in _REFUSED:
        raise LoginRefused(f"the controller refused: {_said(answer)}", hint="holdfast agent add")
    raise UplinkError(f"the controller answered {answer.status}: {_said(answer)}")


def _understood(decode: Callable[[bytes], Message], body: bytes) -> Message:
    try:
        return decode(body)
    except MessageError as error:
        raise UplinkError(f"the controller's answer is not understood: {error}") from error


def _said(answer: Answer) -> str:
    """The sentence of a problem+json answer, or the beginning of whatever it was."""
    try:
        detail = json.loads(answer.body)["detail"]
    except (ValueError, LookupError, TypeError):
        detail = answer.body[:100].decode("utf-8", "replace")
    return one_line(str(detail))


def _parts(url: str) -> tuple[SplitResult, int]:
    """Raises WrongAddress."""
    hint = "such as https://status.example.com:8081"
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise WrongAddress(f"{url!r} is no address", hint=hint) from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise WrongAddress(f"{url!r} is no address of a controller", hint=hint)
    if parts.username is not None or parts.password is not None:
        raise WrongAddress("the controller's address holds a user name", hint="the token is enough")
    return parts, port

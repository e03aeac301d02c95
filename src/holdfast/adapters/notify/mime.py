"""A composed message as a mail's bytes (RFC 5322, RFC 2045): 7 bit, with CRLF, ready for DATA.

Written by hand: the standard library's takes a thousand times a mail's share of CPU for what is the same in
ten thousand of them. Nothing that goes into a header can end its line.
"""

import binascii
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.header import Header
from email.utils import format_datetime
from functools import lru_cache

from holdfast.communication.delivering import Delivery
from holdfast.communication.model import Attachment

LONGEST_HEADER = 900
"""Below the 998 that a line may have (RFC 5322, 2.1.1)."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_ADDRESS = re.compile(r"[!-;=?A-~]+@[!-;=?A-~]+", re.ASCII)
_NAME = re.compile(r"[!-9;-~]+", re.ASCII)


class Unfit(ValueError):  # noqa: N818  a state of affairs more than an error
    """This cannot become a mail: no usable address."""


@dataclass(frozen=True, slots=True)
class Letterhead:
    """Who mails are from."""

    address: str
    name: str = ""
    reply_to: str = ""

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2]


def mail_of(delivery: Delivery, head: Letterhead) -> bytes:
    """The mail: the same bytes at every attempt. Raises Unfit."""
    message = delivery.message
    lines = [
        f"From: {_mailbox(head.name, head.address)}",
        f"To: {usable(delivery.address)}",
        _header("Subject", message.subject),
        f"Date: {format_datetime(delivery.queued_at)}",
        f"Message-ID: {message_id(delivery, head)}",
        "MIME-Version: 1.0",
    ]
    if head.reply_to:
        lines.append(f"Reply-To: {usable(head.reply_to)}")
    if message.unsubscribe_url:
        lines.append(_header("List-Unsubscribe", f"<{message.unsubscribe_url}>"))
        lines.append("List-Unsubscribe-Post: List-Unsubscribe=One-Click")
    lines += [_header(name, value) for name, value in message.headers.items()]
    boundary = f"=_{delivery.key}"
    body = _alternatives(message.text, message.html, f"{boundary}_a")
    if message.attachments:
        body = _multipart("mixed", [body, *map(_attached, message.attachments)], boundary)
    return "\r\n".join(lines).encode("ascii") + b"\r\n" + body


def message_id(delivery: Delivery, head: Letterhead) -> str:
    """The delivery's key: whoever got the mail twice can tell."""
    return f"<{delivery.key}@{head.domain}>"


def usable(address: str) -> str:
    """`address`, which can stand in a header and in an SMTP command as it is. Raises Unfit."""
    if not _ADDRESS.fullmatch(address) or len(address) > 254:
        raise Unfit("no usable mail address")
    return address


def _alternatives(text: str, html: str, boundary: str) -> bytes:
    plain = _part("text/plain", text)
    return _multipart("alternative", [plain, _part("text/html", html)], boundary) if html else plain


def _multipart(kind: str, parts: Sequence[bytes], boundary: str) -> bytes:
    # No part can hold the boundary: quoted-printable and base64 write no `=_`.
    return b"".join(_joined(kind, parts, boundary.encode("ascii")))


def _joined(kind: str, parts: Sequence[bytes], boundary: bytes) -> Iterator[bytes]:
    yield b'Content-Type: multipart/%s; boundary="%s"\r\n\r\n' % (kind.encode("ascii"), boundary)
    for part in parts:
        yield b"--%s\r\n%s" % (boundary, part)
    yield b"--%s--\r\n" % boundary


def _part(media_type: str, text: str) -> bytes:
    lines = text.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")
    content = binascii.b2a_qp(lines.encode("utf-8", "replace"), istext=True)
    head = f"Content-Type: {media_type}; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    return head.encode("ascii") + content + b"\r\n"


def _attached(attachment: Attachment) -> bytes:
    name = re.sub(r"[^A-Za-z0-9._ -]", "_", attachment.name, flags=re.ASCII)[:100]
    media_type = _CONTROL.sub("", attachment.media_type)
    if not re.fullmatch(r"[a-z0-9.+-]+/[a-z0-9.+-]+", media_type, re.ASCII):
        media_type = "application/octet-stream"
    head = (
        f"Content-Type: {media_type}\r\nContent-Transfer-Encoding: base64\r\n"
        f'Content-Disposition: attachment; filename="{name}"\r\n\r\n'
    )
    encoded = binascii.b2a_base64(attachment.content, newline=False)
    lines = [encoded[at : at + 76] for at in range(0, len(encoded), 76)]
    return head.encode("ascii") + b"\r\n".join(lines) + b"\r\n"


def _header(name: str, value: str) -> str:
    if not _NAME.fullmatch(name):
        raise Unfit("a header without a usable name")
    clean = _CONTROL.sub(" ", value).strip()[:LONGEST_HEADER]
    # Short and plain ones, and addresses, go as they are: encoding would break a URL into pieces.
    if clean.isascii():
        return f"{name}: {clean}"
    return f"{name}: {_encoded(clean, len(name))}"


def _mailbox(name: str, address: str) -> str:
    clean = _CONTROL.sub(" ", name).strip()[:100]
    if not clean:
        return usable(address)
    if clean.isascii():
        quoted = clean.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{quoted}" <{usable(address)}>'
    return f"{_encoded(clean, len('From'))} <{usable(address)}>"


@lru_cache(maxsize=256)
def _encoded(value: str, before: int) -> str:
    """As RFC 2047 encodes it, folded."""
    safe = value.encode("utf-8", "replace").decode("utf-8")
    return Header(safe, "utf-8", header_name="x" * before).encode(linesep="\r\n")

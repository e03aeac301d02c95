"""The SMTP probe (RFC 5321, RFC 3207): the greeting, EHLO, STARTTLS, and what is offered then.

A reader of replies is thirty lines; the libraries for mail each open their own connection, which our phases
could neither time nor bound.
"""

import re

from holdfast.adapters.probes.errors import AttemptFailed
from holdfast.adapters.probes.incoming import Incoming
from holdfast.adapters.probes.phases import Attempt
from holdfast.adapters.probes.reach import Reach
from holdfast.adapters.probes.wire import Wire
from holdfast.estate.checks import SmtpCheck

_MOST = 65_536
_MOST_LINES = 100
_REPLY = re.compile(rb"([2-5][0-9]{2})(?:([ -])(.*))?", re.DOTALL)
_READY, _OK = 220, 250


class SmtpProbe:
    def __init__(self, reach: Reach) -> None:
        self._reach = reach

    async def attempt(self, check: SmtpCheck, attempt: Attempt) -> dict[str, object]:
        """The banner, the capabilities and the facts about TLS. Raises AttemptFailed."""
        async with self._reach.connected(attempt, check.host, check.port) as wire:
            incoming = Incoming(attempt.loop, most=_MOST)
            tls: dict[str, object] = {}
            if check.tls == "implicit":
                tls = await self._reach.secured(attempt, wire, check)
            async with attempt.awaiting_first_byte():
                wire.attach(incoming)
                await incoming.begun()
            async with attempt.reading():
                banner = await _reply(incoming, _READY, "the greeting")
                capabilities = await _hello(wire, incoming)
                if check.tls == "starttls":
                    await _begin_tls(wire, incoming, capabilities)
            if check.tls == "starttls":
                tls = await self._reach.secured(attempt, wire, check)
                wire.attach(incoming)
                async with attempt.reading():
                    # What was offered before TLS may have been changed on the way (RFC 3207, section 4.2).
                    capabilities = await _hello(wire, incoming)
            wire.write(b"QUIT\r\n")
        return {
            "banner": "\n".join(banner),
            "capabilities": list(capabilities),
            "capability_parameters": capabilities,
            **tls,
        }


async def _hello(wire: Wire, incoming: Incoming) -> dict[str, str]:
    """What the server offers: parameters by keyword, in capitals."""
    wire.write(f"EHLO {_address_literal(wire)}\r\n".encode("ascii"))
    lines = await _reply(incoming, _OK, "EHLO")
    offered = (line.partition(" ") for line in lines[1:])
    return {keyword.upper(): parameters for keyword, _, parameters in offered if keyword}


async def _begin_tls(wire: Wire, incoming: Incoming, capabilities: dict[str, str]) -> None:
    if "STARTTLS" not in capabilities:
        raise AttemptFailed("STARTTLS is not offered")
    wire.write(b"STARTTLS\r\n")
    await _reply(incoming, _READY, "STARTTLS")
    if incoming.waits:  # somebody on the way put it there, to be taken for a part of what is encrypted
        raise AttemptFailed("the server went on in plain text after STARTTLS")


async def _reply(incoming: Incoming, expected: int, what: str) -> list[str]:
    """The texts of a reply of one or more lines. Raises AttemptFailed when its code is another one."""
    texts: list[str] = []
    for _ in range(_MOST_LINES):
        match = _REPLY.fullmatch(await incoming.line())
        if match is None:
            raise AttemptFailed("not SMTP: a reply without a code")
        code, more, text = int(match[1]), match[2], match[3]
        texts.append((text or b"").decode("utf-8", "replace"))
        if more != b"-":
            if code != expected:
                raise AttemptFailed(f"{what} was answered with {code}, expected {expected}")
            return texts
    raise AttemptFailed("a reply has too many lines")


def _address_literal(wire: Wire) -> str:
    """How a client without a name of its own says hello (RFC 5321, section 4.1.4)."""
    address = wire.own_address
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"

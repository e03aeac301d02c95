"""How long somebody who fails has to wait before the next attempt. Pure.

An attempt is counted before it is made: a thousand at once are a thousand. Who fails at an account from a
browser that was never logged in there shares one counter with everybody else who does, and one with all who
come from that address. A browser that was logged in there before has a counter of its own (OWASP's device
cookies), so that nobody can lock a person out of the browser that they use; and no pause is longer than a
few minutes, so that nobody is locked out for good anywhere.
"""

import hashlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Patience:
    """After `free` failures each further one costs a pause: `first`, then twice as long, up to `longest`."""

    free: int
    first: timedelta
    longest: timedelta
    forgotten_after: timedelta
    takes_back: bool = False
    """A success takes back its own count only, rather than everything: others share this counter."""


_FEW = timedelta(seconds=2)
ACCOUNT = Patience(5, _FEW, timedelta(minutes=5), timedelta(hours=12))
DEVICE = Patience(5, _FEW, timedelta(minutes=5), timedelta(hours=12))
CODE = Patience(5, 2 * _FEW, timedelta(minutes=15), timedelta(hours=12))
ADDRESS = Patience(30, _FEW, timedelta(minutes=5), timedelta(hours=1), takes_back=True)


@dataclass(frozen=True, slots=True)
class Attempt:
    """What an attempt counts for. The key is a SHA-256: what was typed as a name may be a password."""

    key: bytes
    patience: Patience


@dataclass(frozen=True, slots=True)
class Tally:
    failures: int
    last_at: datetime
    paused_until: datetime | None = None


def attempts_at(kind: str, name: str, address: str, device: str | None) -> tuple[Attempt, ...]:
    """What an attempt of that kind at `name` counts for. `device` marks a browser known for that name."""
    code = kind != "password"
    if device is not None:
        return (Attempt(_key(kind, "device", name, device), CODE if code else DEVICE),)
    return (
        Attempt(_key(kind, "account", name), CODE if code else ACCOUNT),
        Attempt(_key("address", network_of(address)), ADDRESS),
    )


def network_of(address: str) -> str:
    """Who has one IPv6 address has all of its /64."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 6 and parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False)) if parsed.version == 6 else str(parsed)


def counted(tallies: Sequence[Tally | None], attempts: Sequence[Attempt], now: datetime) -> Sequence[Tally]:
    """The tallies with this attempt counted. Ask `pause` first."""
    return [_counted(tally, attempt.patience, now) for tally, attempt in zip(tallies, attempts, strict=True)]


def pause(tallies: Sequence[Tally | None], attempts: Sequence[Attempt], now: datetime) -> datetime | None:
    """Until when one of them must pause; None when the attempt may be made."""
    pauses = [
        tally.paused_until
        for tally, attempt in zip(tallies, attempts, strict=True)
        if tally is not None
        and tally.paused_until is not None
        # Nothing is paused for longer than its longest pause: a clock that was ahead wrote that.
        and now < tally.paused_until <= now + attempt.patience.longest
    ]
    return max(pauses, default=None)


def absolved(tally: Tally, attempt: Attempt) -> Tally | None:
    """What is left of it after a success; None for nothing."""
    if not attempt.patience.takes_back or tally.failures <= 1:
        return None
    failures = tally.failures - 1
    return Tally(failures, tally.last_at, tally.paused_until if failures > attempt.patience.free else None)


def _counted(tally: Tally | None, patience: Patience, now: datetime) -> Tally:
    if tally is None or now - tally.last_at > patience.forgotten_after:
        return Tally(1, now)
    failures = tally.failures + 1
    beyond = failures - patience.free
    if beyond <= 0:
        return Tally(failures, now)
    # The exponent is bounded: a number of failures is not.
    length = min(patience.first * 2 ** min(beyond - 1, 20), patience.longest)
    return Tally(failures, now, now + length)


def _key(*parts: str) -> bytes:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).digest()

"""`/metrics` of the console in OpenMetrics 1.0, for a monitoring system that has a token with `read`.

What nobody knows is left out: a figure that is absent raises an alert, and a 0 would not.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Protocol

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from holdfast.backup.recoverable.standing import Reported
from holdfast.identity.errors import Refused
from holdfast.identity.model import Actor, Right
from holdfast.interfaces.agents.limits import RateLimit
from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import HoldfastError

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
LONGEST_TOKEN = 256


class Bearers(Protocol):
    """Who holds a token. Raises Refused."""

    async def actor_of_token(self, token: str) -> Actor: ...


def create_metrics(
    statuses: Callable[[], Awaitable[Sequence[Reported]]],
    bearers: Bearers,
    clock: Clock,
    more: Callable[[], Awaitable[Sequence[str]]] | None = None,
) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint for `/metrics`: 401 without a token that may read, 503 while the database is away.

    `more` are further lines.
    """
    calls = RateLimit(per_second=1, burst=30)

    async def answer(request: Request) -> Response:
        address = request.client.host if request.client else ""
        if not calls.take((address,), clock.monotonic()):
            return PlainTextResponse("too often\n", 429)
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not 0 < len(token) <= LONGEST_TOKEN or not token.isascii():
            return _unauthorised()
        try:
            actor = await bearers.actor_of_token(token)
        except Refused:
            return _unauthorised()
        except HoldfastError:
            return PlainTextResponse("the database is away\n", 503)
        if not actor.may(Right.READ):
            return PlainTextResponse("this token lacks the scope read\n", 403)
        try:
            lines = [*exposition(await statuses()), *(await more() if more else ()), "# EOF\n"]
        except HoldfastError:
            return PlainTextResponse("the database is away\n", 503)
        return Response("\n".join(lines), media_type=CONTENT_TYPE, headers={"cache-control": "no-store"})

    return answer


def _unauthorised() -> Response:
    return PlainTextResponse("a token is needed\n", 401, headers={"www-authenticate": "Bearer"})


def exposition(reported: Sequence[Reported]) -> Iterator[str]:
    """The lines about backups; none where nothing was ever reported."""
    if not reported:
        return
    yield from _gauge(
        "holdfast_backup_report_age_seconds",
        "Since what is known of a region was reported.",
        ((each, (each.now - each.at).total_seconds()) for each in reported),
    )
    yield from _gauge(
        "holdfast_backup_region_answers",
        "1 when the region answered when it was asked last.",
        ((each, 0 if each.points.error else 1) for each in reported),
    )
    yield from _gauge(
        "holdfast_backup_rpo_seconds",
        "What would be lost if this region were all that is left; absent when unknown.",
        ((each, _seconds(each.points.rpo(each.now))) for each in reported),
    )
    known = [each for each in reported if not each.points.error]
    yield from _gauge(
        "holdfast_backup_expected_restore_seconds",
        "How long the newest moment takes to restore; absent when nothing was restored yet.",
        ((each, _seconds(each.points.expected)) for each in known),
    )
    yield from _gauge(
        "holdfast_backup_window_seconds",
        "How far the newest recovery window reaches back from its end.",
        (
            (each, _seconds(each.points.windows[-1].end - each.points.windows[-1].start))
            for each in known
            if each.points.windows
        ),
    )
    yield from _gauge(
        "holdfast_backup_windows", "Recovery windows.", ((each, len(each.points.windows)) for each in known)
    )
    yield from _gauge(
        "holdfast_backup_points", "Backups that restore.", ((each, len(each.points.points)) for each in known)
    )
    yield from _gauge(
        "holdfast_backup_not_restorable",
        "Backups and records that are there and do not restore.",
        ((each, len(each.points.unrestorable)) for each in known),
    )
    yield from _gauge(
        "holdfast_backup_suspects",
        "Suspicions of damage that stand.",
        ((each, len(each.points.suspects)) for each in known),
    )
    yield from _gauge(
        "holdfast_backup_stored_bytes",
        "What is stored.",
        ((each, each.points.stored_bytes) for each in known),
    )
    yield from _gauge(
        "holdfast_backup_last_backup_timestamp_seconds",
        "When the newest backup that restores had finished.",
        ((each, at.timestamp()) for each in known if (at := each.points.last_backup_at)),
    )
    yield from _gauge(
        "holdfast_backup_last_verified_timestamp_seconds",
        "When a verification passed last.",
        (
            (each, each.points.verified.passed_at.timestamp())
            for each in known
            if each.points.verified and each.points.verified.passed_at
        ),
    )
    yield from _gauge(
        "holdfast_backup_verified",
        "1 when the newest verification passed.",
        ((each, int(each.points.verified.standing == "passed")) for each in known if each.points.verified),
    )


def _gauge(name: str, text: str, values: Iterable[tuple[Reported, float | None]]) -> Iterator[str]:
    yield f"# TYPE {name} gauge"
    for unit in ("seconds", "bytes"):
        if name.endswith(f"_{unit}"):
            yield f"# UNIT {name} {unit}"
    yield f"# HELP {name} {text}"
    for reported, value in values:
        if value is not None:
            points = reported.points
            yield f'{name}{{database="{_quoted(points.database)}",region="{_quoted(points.region)}"}} {value}'


def _seconds(duration: timedelta | None) -> float | None:
    return None if duration is None else duration.total_seconds()


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

"""What recovery's process answers: that it lives, whether it can work, and how runs stand.

    GET /health          this process runs
    GET /health/ready    and reaches the runs
    GET /metrics         OpenMetrics 1.0

It tells no subject and no name: who may reach the address may read it.
"""

from collections.abc import Sequence
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from holdfast.adapters.postgres.connect import Pool
from holdfast.adapters.postgres.recovery.evidence import PostgresEvidence
from holdfast.adapters.postgres.recovery.standing import Standing, standing_of
from holdfast.interfaces.agents.limits import RateLimit
from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import HoldfastError
from holdfast.recovery.engine import Engine
from holdfast.recovery.evidence_ports import Grown, Why
from holdfast.recovery.model import RunState

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
NEVER_KEPT = {"cache-control": "no-store"}


def recovery_app(pool: Pool, engine: Engine, clock: Clock) -> Starlette:
    """The application."""
    calls = RateLimit(per_second=1, burst=30)

    async def health(request: Request) -> Response:
        del request
        return JSONResponse({"status": "ok"}, headers=NEVER_KEPT)

    async def ready(request: Request) -> Response:
        del request
        try:
            await standing_of(pool)
        except HoldfastError as error:
            return JSONResponse(
                {"status": "away", "why": str(error)}, HTTPStatus.SERVICE_UNAVAILABLE, headers=NEVER_KEPT
            )
        return JSONResponse({"status": "ok"}, headers=NEVER_KEPT)

    async def metrics(request: Request) -> Response:
        address = request.client.host if request.client else ""
        if not calls.take((address,), clock.monotonic()):
            return Response(
                "too many calls\n", HTTPStatus.TOO_MANY_REQUESTS, {"retry-after": "2", **NEVER_KEPT}
            )
        try:
            standing, grown = await standing_of(pool), await PostgresEvidence(pool).grown()
        except HoldfastError:  # what nobody knows is left out
            standing, grown = None, None
        of_log = log_figures(grown) if grown is not None else []
        text = "\n".join([*lines_of(engine, standing), *of_log, "# EOF\n"])
        return Response(text, media_type=CONTENT_TYPE, headers=NEVER_KEPT)

    return Starlette(
        routes=[
            Route("/health", health, methods=["GET"]),
            Route("/health/ready", ready, methods=["GET"]),
            Route("/metrics", metrics, methods=["GET"]),
        ]
    )


def lines_of(engine: Engine, standing: Standing | None) -> Sequence[str]:
    """The exposition, without its end."""
    found = [
        *_head("holdfast_recovery_driving", "gauge", "Runs that this process works on."),
        f"holdfast_recovery_driving {engine.driving}",
        *_head("holdfast_recovery_let_go", "counter", "Runs that this process gave up in the middle."),
        f"holdfast_recovery_let_go_total {engine.let_go}",
    ]
    if standing is None:
        return found
    return [
        *found,
        *runs_figures(standing),
        "# TYPE holdfast_recovery_unattended_seconds gauge",
        "# UNIT holdfast_recovery_unattended_seconds seconds",
        "# HELP holdfast_recovery_unattended_seconds How long nobody has worked on an active run.",
        f"holdfast_recovery_unattended_seconds {standing.unattended_s:g}",
    ]


def runs_figures(standing: Standing) -> Sequence[str]:
    """Runs by their state."""
    return [
        *_head("holdfast_recovery_runs", "gauge", "Runs, by how they stand."),
        *(
            f'holdfast_recovery_runs{{state="{state.value}"}} {standing.runs.get(state, 0)}'
            for state in RunState
        ),
    ]


def log_figures(grown: Grown) -> Sequence[str]:
    """Of the log of evidence: its entries, and those that no witness vouches for."""
    return [
        *_head("holdfast_recovery_evidence_entries", "gauge", "Entries of the log of evidence."),
        f"holdfast_recovery_evidence_entries {grown.size}",
        *_head("holdfast_recovery_evidence_not_cosigned", "gauge", "Entries that no witness has cosigned."),
        f"holdfast_recovery_evidence_not_cosigned {grown.unseen}",
        *_head("holdfast_recovery_evidence_waits", "gauge", "Whether cosigning waits, by reason."),
        *(
            f'holdfast_recovery_evidence_waits{{reason="{why.value}"}} '
            f"{int(grown.waiting is not None and grown.waiting.why is why)}"
            for why in Why
        ),
    ]


def _head(name: str, kind: str, text: str) -> Sequence[str]:
    return [f"# TYPE {name} {kind}", f"# HELP {name} {text}"]

"""Running Holdfast: all roles under a supervisor, or one role alone."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog

from holdfast.adapters.postgres.conninfo import Conninfo, Role, Server
from holdfast.adapters.postgres.estate import PostgresRegistry
from holdfast.adapters.postgres.history import import_history
from holdfast.adapters.postgres.migrate import migrate
from holdfast.availability.model import Transition
from holdfast.availability.ports import RollUp
from holdfast.availability.sample import sample_history as sample_of
from holdfast.bootstrap.database import server_for, unpacked
from holdfast.bootstrap.estates import read_estate, report_links
from holdfast.bootstrap.logs import configure_logs
from holdfast.bootstrap.signals import Signals, end_with_supervisor, supervisors_pipe
from holdfast.bootstrap.supervisor import RoleProcess, Supervisor, sole_supervisor
from holdfast.estate.model import Estate
from holdfast.estate.ports import check_and_vantage
from holdfast.interfaces.cli.ports import AgentRequest, Place, Progress, Report, RoleName, Running
from holdfast.kernel.errors import HoldfastError, Remedy

READY_WITHIN_S = 60.0
LOGINS = {
    "controller": Role.CONTROLLER,
    "site": Role.SITE,
    "console": Role.CONSOLE,
    "sender": Role.SENDER,
    "backup": Role.BACKUP,
    "ledger": Role.LEDGER,
    "recovery": Role.RECOVERY,
}
CONSOLE_WITHIN_S = 20.0

log = structlog.get_logger()


class NotReady(HoldfastError):  # noqa: N818  a state of affairs more than an error
    """The site does not answer."""

    remedy = Remedy.NEEDS_OPERATOR


async def up(
    estate: Estate,
    place: Place,
    *,
    sample_history: bool,
    report: Report,
    told: Callable[[Running], None],
) -> None:
    """Run everything until a signal ends it. The embedded database ends with it, in order."""
    configure_logs("up")
    place.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    signals = Signals()
    signals.install()
    with sole_supervisor(place.data_dir):
        check_free(estate.site.listen)
        server = server_for(estate, place.config, place.data_dir)
        report(Progress("starting the database"))
        await server.start()
        try:
            await migrate(server.conninfo(Role.OWNER))
            if sample_history:
                report(Progress("importing a year of sample history"))
                await import_sample(estate, server)
            report(Progress("starting the controller and the site"))
            supervisor = Supervisor(server, role_processes(server, place, estate), place.data_dir)

            async def ready() -> None:
                await answering(estate.site.listen, place.data_dir)
                told(Running(site_url(estate), _reports(estate, place.config), await console_url(estate)))

            await supervisor.run(signals.stop, signals.reload, ready)
        finally:
            await server.stop()


async def serve(role: RoleName, place: Place, *, supervised: bool) -> None:
    """Run one role until a signal, or the end of its supervisor, ends it."""
    configure_logs(role)
    signals = Signals()
    signals.install()
    estate = read_estate(place.config)
    if supervised:
        pipe = await supervisors_pipe()
        conninfo = unpacked(await pipe.readline())
        watching = asyncio.create_task(end_with_supervisor(pipe, signals.stop))
    else:
        server = server_for(estate, place.config, place.data_dir)
        await server.start()
        await migrate(server.conninfo(Role.OWNER))
        conninfo = server.conninfo(LOGINS[role])
        watching = None
    try:
        await _run_role(role, estate, place, conninfo, signals)
    finally:
        if watching is not None:
            watching.cancel()


async def _run_role(
    role: RoleName, estate: Estate, place: Place, conninfo: Conninfo, signals: Signals
) -> None:
    """Each role loads only what is its own: a controller has no use for templates, nor a site for probes."""
    if role == "site":
        from holdfast.bootstrap.site import run_site  # noqa: PLC0415

        await run_site(estate, place.config.absolute(), place.data_dir, conninfo, signals)
    elif role == "console":
        from holdfast.bootstrap.console import run_console  # noqa: PLC0415

        await run_console(estate, place.config.absolute(), place.data_dir, conninfo, signals)
    elif role == "sender":
        from holdfast.bootstrap.sender import run_sender  # noqa: PLC0415

        await run_sender(estate, place.config.absolute(), place.data_dir, conninfo, signals)
    elif role == "backup":
        from holdfast.bootstrap.backup.role import run_backup  # noqa: PLC0415

        await run_backup(estate, Place(place.config.absolute(), place.data_dir.absolute()), conninfo, signals)
    elif role == "ledger":
        from holdfast.bootstrap.ledger.role import run_ledger  # noqa: PLC0415

        await run_ledger(estate, Place(place.config.absolute(), place.data_dir.absolute()), conninfo, signals)
    elif role == "recovery":
        from holdfast.bootstrap.recovery.role import run_recovery  # noqa: PLC0415

        await run_recovery(
            estate, Place(place.config.absolute(), place.data_dir.absolute()), conninfo, signals
        )
    else:
        from holdfast.bootstrap.controller import run_controller  # noqa: PLC0415

        await run_controller(place.config, place.data_dir, conninfo, signals)


async def serve_agent(request: AgentRequest) -> None:
    """Run an agent until a signal ends it."""
    from holdfast.bootstrap.agent import run_agent  # noqa: PLC0415  it needs no database, nor the other way

    configure_logs("agent")
    signals = Signals()
    signals.install()
    await run_agent(request, signals)


def role_processes(server: Server, place: Place, estate: Estate) -> Sequence[RoleProcess]:
    """The roles that `up` runs, each with the login that it needs and no more.

    Who declares no database has no process that keeps them, who declares no ledger none that serves it, and
    who declares no recovery none that works on its runs.
    What is declared first while `up` runs waits for the next one.
    """
    arguments = (
        *("--config", str(place.config.absolute())),
        *("--data-dir", str(place.data_dir.absolute())),
    )
    unwanted = {"backup"} if not estate.databases else set[str]()
    if estate.ledger is None:
        unwanted.add("ledger")
    if getattr(estate, "recovery", None) is None:
        unwanted.add("recovery")
    return [
        RoleProcess(name, server.conninfo(login), arguments)
        for name, login in LOGINS.items()
        if name not in unwanted
    ]


async def import_sample(estate: Estate, server: Server) -> None:
    """A labelled sample year before all other history; raises where there is history already."""
    registry = PostgresRegistry(server.conninfo(Role.CONTROLLER))
    now = datetime.now(UTC)
    registered = await registry.apply(estate, source_sha256="", at=now, actor="sample history")
    transitions: list[Transition] = []
    hours: list[RollUp] = []
    for (cluster, component, key), check_id in registered.checks.items():
        every = estate.clusters[cluster].components[component].checks[check_and_vantage(key)[0]].every
        sample = await asyncio.to_thread(
            sample_of, check_id, now, timedelta(days=365), max(1, timedelta(hours=1) // every)
        )
        transitions += sample.transitions
        hours += sample.hours
    await import_history(server.conninfo(Role.OWNER), transitions, hours)


def site_url(estate: Estate) -> str:
    """Where a browser on this machine finds the site."""
    return url_of(estate.site.listen)


async def console_url(estate: Estate) -> str | None:
    """Where a browser finds the console; None when it does not answer, which must not keep the site down."""
    host, port = _reached(estate.console.listen)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CONSOLE_WITHIN_S):
            while not await _is_ready(host, port):  # noqa: ASYNC110  it is another process
                await asyncio.sleep(0.2)
            return estate.console.url or url_of(estate.console.listen)
    log.warning("console_not_answering", listen=estate.console.listen)
    return None


def url_of(listen: str) -> str:
    """Where a browser on this machine finds what listens there."""
    host, _, port = listen.rpartition(":")
    return f"http://{'127.0.0.1' if host in ('0.0.0.0', '[::]') else host}:{port}/"  # noqa: S104


def _reports(estate: Estate, config: Path) -> dict[str, str]:
    language = estate.site.languages[0]
    return {
        estate.agreements[key].name: f"{site_url(estate)}{language}/agreements/{link}"
        for key, link in report_links(estate, config).items()
    }


def check_free(listen: str) -> None:
    """Raises NotReady when somebody else listens where the site is to answer."""
    import socket  # noqa: PLC0415

    host, _, port = listen.rpartition(":")
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), int(port)))
        except OSError as error:
            raise NotReady(
                f"the site cannot listen on {listen}: {error.strerror}",
                hint="free the port, or set site.listen in the estate file",
            ) from error


async def answering(listen: str, data_dir: Path) -> None:
    """Return once the site is ready; raises NotReady when that takes too long."""
    host, port = _reached(listen)
    try:
        async with asyncio.timeout(READY_WITHIN_S):
            while not await _is_ready(host, port):  # noqa: ASYNC110  it is another process
                await asyncio.sleep(0.2)
    except TimeoutError as error:
        raise NotReady(
            f"the site does not answer on {listen}", hint=f"see the logs in {data_dir / 'log'}"
        ) from error


def _reached(listen: str) -> tuple[str, int]:
    """Where a listener on this machine is reached from it."""
    host, _, port = listen.rpartition(":")
    return "127.0.0.1" if host in ("0.0.0.0", "[::]") else host.strip("[]"), int(port)  # noqa: S104


async def _is_ready(host: str, port: int) -> bool:
    try:
        reader, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    try:
        writer.write(b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return b" 200 " in await reader.readline()
    except OSError:
        return False
    finally:
        writer.close()

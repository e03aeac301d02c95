"""The agent's process: runs a vantage point's checks. It needs no estate file and no database."""

import asyncio
import contextlib
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import structlog

from holdfast.adapters.agent.segments import replace_file
from holdfast.adapters.agent.spool import DiskSpool
from holdfast.adapters.agent.uplink import HttpUplink
from holdfast.adapters.probes import Probes
from holdfast.availability.agent import Agent
from holdfast.availability.exchange import MessageError, Orders, decode_checks
from holdfast.bootstrap.signals import Signals
from holdfast.estate.secrets import resolve
from holdfast.estate.values import SecretRef
from holdfast.interfaces.cli.ports import AgentRequest
from holdfast.kernel.clock import SystemClock

ORDERS_FILE = "checks.json"

log = structlog.get_logger()


async def run_agent(request: AgentRequest, signals: Signals) -> None:
    """Run until `signals.stop`. The controller may be away at any time, also at the start.

    Raises SecretError for a token file that is missing or that others may read, SpoolTaken, WrongAddress.
    """
    folder = request.data_dir / "agent"
    token = partial(_token, request.token_file)
    token()
    uplink = HttpUplink(
        request.controller, token, ca_file=request.ca_file, keep=partial(_keep, folder / ORDERS_FILE)
    )
    spool = DiskSpool(folder / "spool", on_event=_note)
    probes = Probes(resolve_secret=partial(_secret, request.data_dir))
    known = _known(folder / ORDERS_FILE)
    agent = Agent(probes, spool, uplink, SystemClock(), on_event=_note, known=known)
    log.info("agent_started", controller=request.controller, waiting=spool.waiting)
    running = asyncio.create_task(agent.run())
    ending = asyncio.create_task(signals.stop.wait())
    try:
        await asyncio.wait({running, ending}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
    finally:
        for task in (running, ending):
            task.cancel()
        await asyncio.gather(running, ending, return_exceptions=True)
        await probes.close()
        uplink.close()
        spool.close()


def _note(event: str, facts: Mapping[str, object]) -> None:
    log.info(event, **facts)


def _token(path: Path) -> str:
    """Read anew with each call. Raises SecretError when others may read it."""
    return resolve(SecretRef(source="file", name=str(path.absolute())), base=Path("/"), environ={}).strip()


def _secret(base: Path, ref: SecretRef) -> str:
    """A check's secret: of this machine. Files are looked for in the data directory."""
    return resolve(ref, base=base.absolute(), environ=os.environ)


def _keep(path: Path, body: bytes) -> None:
    """For a start while the controller is away. A full disk must not keep the checks from running."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(path, body)


def _known(path: Path) -> Orders | None:
    try:
        return decode_checks(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, MessageError) as error:
        log.warning("known_checks_unreadable", error=str(error))
        return None

"""The address for agents and beats, in the controller's process, while the estate declares any.

Every controller may serve it: the database makes deliveries of one vantage point take turns. Where several
controllers run on one machine, one of them gets the port, and another one when that one is gone.
"""

import asyncio
import contextlib
import hashlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path

import structlog
import uvicorn

from holdfast.adapters.postgres.agents import PostgresAgents, PostgresBeats
from holdfast.adapters.postgres.connect import open_pool
from holdfast.adapters.postgres.conninfo import Conninfo
from holdfast.adapters.postgres.errors import DatabaseAway
from holdfast.availability.exchange import encode_checks
from holdfast.availability.ingest import Ingest
from holdfast.availability.inventory import Inventory
from holdfast.availability.vantage import SHORTEST_BEAT_TOKEN, Pulse, sha256_of
from holdfast.availability.verdicts import Rules
from holdfast.bootstrap.estates import heartbeats_of, secret_of
from holdfast.bootstrap.serving import Server, bound
from holdfast.estate.checks import Check
from holdfast.estate.model import Estate
from holdfast.estate.ports import probe_key
from holdfast.interfaces.agents.app import Offer, create_agents_api
from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import HoldfastError

RETRY_EVERY_S = 2.0
EAR_EVERY_S = 5.0
LISTEN_ANEW_EVERY_S = 2.0

log = structlog.get_logger()


class Agents:
    """`put_in_force` may be called at any time. `pulse_of` is for the probe of heartbeats."""

    def __init__(
        self, config: Path, conninfo: Conninfo, clock: Clock, *, leading: Callable[[], bool]
    ) -> None:
        self._config = config
        self._conninfo = conninfo
        self._clock = clock
        self._leading = leading
        self._estate: Estate | None = None
        self._offers: Mapping[str, Offer] = {}
        self._rules: Mapping[int, Rules] = {}
        self._beats: PostgresBeats | None = None
        self._changed = asyncio.Event()
        self._serving = False
        self._retired = True
        self._told: dict[str, str] = {}

    def put_in_force(self, inventory: Inventory) -> None:
        """From now on this estate counts."""
        self._estate = inventory.estate
        self._offers = offers_of(inventory)
        self._rules = rules_of(inventory)
        self._retired = False
        self._changed.set()

    async def pulse_of(self, token_sha256: bytes) -> Pulse | None:
        """See Beats. Raises DatabaseAway as long as there is no way to the database yet."""
        if self._beats is None:
            raise DatabaseAway("the beats are not known yet")
        return await self._beats.pulse(token_sha256)

    async def run(self) -> None:
        """Run until cancelled. The database may be away, and the port taken, at any time."""
        async with open_pool(self._conninfo, "agents", max_size=4) as pool:
            store = PostgresAgents(pool)
            self._beats = beats = PostgresBeats(pool)
            ingest = Ingest(store, self._clock, lambda: self._rules)
            app = create_agents_api(
                store,
                ingest,
                beats,
                offer_of=self._offer_of,
                clock=self._clock,
                on_trouble=lambda error: self._tell("agents_not_answered", str(error)),
            )
            async with asyncio.TaskGroup() as group:
                group.create_task(self._serve(app))
                group.create_task(self._listen_for_beats(beats))
                group.create_task(self._keep_ear_open(beats))
                group.create_task(self._retire_departed(ingest))

    def _offer_of(self, vantage: str) -> Offer | None:
        return self._offers.get(vantage)

    def _wanted(self) -> str | None:
        """Where to listen now, or None."""
        if self._estate is None or not (self._offers or heartbeats_of(self._estate)):
            return None
        return self._estate.agents.listen

    async def _serve(self, app: object) -> None:
        while True:
            self._changed.clear()
            wanted = self._wanted()
            if wanted is None:
                await self._changed.wait()
                continue
            try:
                listening = bound(wanted)
            except OSError as error:
                self._tell("agents_not_served", f"{wanted}: {error.strerror}")
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(RETRY_EVERY_S):
                        await self._changed.wait()
                continue
            self._tell("agents_not_served", "")
            log.info("agents_served", listen=wanted)
            async with _serving(app, listening) as server:
                self._serving = True
                try:
                    while self._wanted() == wanted and not server.done():
                        self._changed.clear()
                        changed = asyncio.create_task(self._changed.wait())
                        await asyncio.wait({changed, server}, return_when=asyncio.FIRST_COMPLETED)
                        changed.cancel()
                finally:
                    self._serving = False

    async def _listen_for_beats(self, beats: PostgresBeats) -> None:
        """Tell the database which tokens to take. They are read anew, for a secret may change at any time."""
        while True:
            if self._estate is not None and self._leading():
                tokens = beat_tokens(self._estate, self._config, self._tell)
                with self._postponing("beats_not_registered"):
                    await beats.listen_for(tokens)
            await asyncio.sleep(LISTEN_ANEW_EVERY_S if self._leading() else 1.0)

    async def _keep_ear_open(self, beats: PostgresBeats) -> None:
        while True:
            if self._serving:
                with self._postponing("ear_not_kept_open"):
                    await beats.keep_ear_open()
            await asyncio.sleep(EAR_EVERY_S if self._serving else 0.2)

    async def _retire_departed(self, ingest: Ingest) -> None:
        """After each change of the estate, by whoever leads."""
        while True:
            if not self._retired and self._leading():
                with self._postponing("probes_not_retired"):
                    self._retired = True
                    try:
                        count = await ingest.retire_departed()
                    except BaseException:
                        self._retired = False
                        raise
                    if count:
                        log.info("probes_retired", probes=count)
            await asyncio.sleep(1.0)

    @contextlib.contextmanager
    def _postponing(self, event: str) -> Iterator[None]:
        """What the database refuses now is told once, and done the next time."""
        try:
            yield
            self._tell(event, "")
        except HoldfastError as error:
            self._tell(event, str(error))

    def _tell(self, event: str, text: str) -> None:
        """Log trouble once, however often it is met. Without `text` it is over."""
        if text and self._told.get(event) != text:
            log.warning(event, error=text)
        self._told[event] = text


def offers_of(inventory: Inventory) -> dict[str, Offer]:
    """What each declared vantage point has to run."""
    estate, registered = inventory.estate, inventory.registered
    checks: dict[str, list[tuple[int, str, str, Check]]] = {key: [] for key in estate.vantage_points}
    for vantage, cluster_key, key, check_key, check in remote_checks(estate):
        probe = registered.checks[cluster_key, key, probe_key(check_key, vantage)]
        checks[vantage].append((probe, f"{cluster_key}/{key}", check_key, check))
    offers: dict[str, Offer] = {}
    for vantage, declared in checks.items():
        body = encode_checks(vantage, estate.vantage_points[vantage].name, declared)
        offers[vantage] = Offer(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')
    return offers


def rules_of(inventory: Inventory) -> dict[int, Rules]:
    """The thresholds of every probe that an agent runs."""
    registered = inventory.registered
    return {
        registered.checks[cluster_key, key, probe_key(check_key, vantage)]: Rules.of(check)
        for vantage, cluster_key, key, check_key, check in remote_checks(inventory.estate)
    }


def remote_checks(estate: Estate) -> Iterator[tuple[str, str, str, str, Check]]:
    """(vantage point, cluster, component, check key, check) of all that agents run."""
    for cluster_key, cluster in estate.clusters.items():
        for key, component in cluster.components.items():
            for check_key, check in component.checks.items():
                for vantage in check.seen_from:
                    if vantage in estate.vantage_points:
                        yield vantage, cluster_key, key, check_key, check


def beat_tokens(estate: Estate, config: Path, tell: Callable[[str, str], None]) -> Sequence[bytes]:
    """The hashes of the tokens that can be had. The others are told of, and their checks have no result."""
    tokens: list[bytes] = []
    trouble: list[str] = []
    for name, check in heartbeats_of(estate):
        try:
            token = secret_of(config, check.token)
        except HoldfastError as error:
            trouble.append(f"{name}: {error}")
            continue
        if len(token) >= SHORTEST_BEAT_TOKEN:
            tokens.append(sha256_of(token))
        else:
            trouble.append(f"{name}: shorter than {SHORTEST_BEAT_TOKEN} characters")
    tell("beat_secret_unavailable", "; ".join(trouble))
    return tokens


@contextlib.asynccontextmanager
async def _serving(app: object, listening: socket.socket) -> AsyncIterator[asyncio.Task[None]]:
    """Serve for the length of the block; the socket is closed at its end. Raises what ended the server."""
    server = Server(
        uvicorn.Config(
            app,  # type: ignore[arg-type]
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            timeout_keep_alive=75,
            timeout_graceful_shutdown=2,
            limit_concurrency=1000,
            h11_max_incomplete_event_size=16_384,
        )
    )
    task = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield task
    finally:
        server.should_exit = True
        try:
            await asyncio.shield(task)
        finally:
            listening.close()

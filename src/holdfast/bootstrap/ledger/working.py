"""What a process that serves the ledger has in its hands, and the duties that it keeps running."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import structlog

from holdfast.adapters.postgres.conninfo import Conninfo
from holdfast.adapters.postgres.journal import PostgresJournal
from holdfast.bootstrap.ledger.opening import Ledger
from holdfast.estate.model import Estate
from holdfast.interfaces.cli.ports import Place
from holdfast.interfaces.ledger.figures import Figures
from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import HoldfastError
from holdfast.kernel.journal import JournalEntry
from holdfast.ledger.append.acknowledging import Gate
from holdfast.ledger.append.reached import OneRegion
from holdfast.ledger.ports import SecondRegion

ACTOR = "ledger"
AGAIN_IN_S = 5.0
JOURNAL_AGAIN_IN_S = 15.0
MOST_ENTRIES = 1000

log = structlog.get_logger()


Told = Callable[[str, Mapping[str, object]], None]
"""Hears an event and its facts."""


class Telling:
    """Into the log, the journal, and to whoever listens. Never waits, and never raises."""

    def __init__(self, conninfo: Conninfo, clock: Clock) -> None:
        self._journal = PostgresJournal(conninfo)
        self._clock = clock
        self._entries: asyncio.Queue[JournalEntry] = asyncio.Queue(maxsize=MOST_ENTRIES)
        self._listeners = list[Callable[[JournalEntry], None]]()
        self._once: dict[str, str] = {}

    def __call__(self, event: str, facts: Mapping[str, object]) -> None:
        """`event` is one of the ledger's, in the past tense: `second_region_away`."""
        entry = JournalEntry(self._clock.now(), ACTOR, f"ledger.{event}", facts)
        self.pass_on(entry)
        # What does not fit any more is in the log alone.
        with contextlib.suppress(asyncio.QueueFull):
            self._entries.put_nowait(entry)

    def pass_on(self, entry: JournalEntry) -> None:
        """What the journal has already: into the log, and to whoever listens."""
        log.info(entry.event.replace(".", "_"), **entry.facts)
        for listener in self._listeners:
            listener(entry)

    def trouble(self, what: str, error: HoldfastError | None) -> None:
        """Something that lasts, into the log once, however often it is met. None: it is over."""
        text, name = "" if error is None else str(error), f"ledger_{what}"
        if text and self._once.get(what) != text:
            log.warning(name, error=text, hint=error.hint if error else "")
        elif not text and self._once.get(what):
            log.info(name, over=True)
        self._once[what] = text

    @contextlib.contextmanager
    def heard_by(self, listener: Callable[[JournalEntry], None]) -> Iterator[None]:
        """Inside this block `listener` hears every event, in this loop, at once."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    async def write(self) -> None:
        """Keep writing the journal, in order; what the database does not take now waits."""
        while True:
            entry = await self._entries.get()
            while True:
                try:
                    await self._journal.append(entry)
                except HoldfastError as error:
                    log.warning("journal_not_written", error=str(error))
                    await asyncio.sleep(JOURNAL_AGAIN_IN_S)
                else:
                    break


Figured = Callable[[], Awaitable[str]]
"""Finds lines for /metrics out."""


@dataclass(frozen=True)
class Working:
    """For the duties of the process, as long as the estate in force says the same."""

    estate: Estate
    place: Place
    """Absolute."""
    conninfo: Conninfo
    ledger: Ledger
    clock: Clock
    tell: Telling
    second: SecondRegion | None
    gate: Gate
    one_region: OneRegion
    figures: Figures
    more_figures: list[Figured] = field(default_factory=list)
    """Lines for /metrics; a duty that has some appends to it when it begins."""


Duty = Callable[[Working], Awaitable[None]]


async def kept(name: str, duty: Duty, working: Working) -> None:
    """Run a duty for ever: what ends it is told, and it begins anew. One that returns has nothing to do."""
    while True:
        figures = _Added(working.more_figures)
        try:
            await duty(replace(working, more_figures=figures))
        except HoldfastError as error:
            working.tell.trouble(f"{name}_waits", error)
        except Exception:  # a fault of ours in one duty leaves the others alone
            log.exception("ledger_duty_failed", duty=name)
        else:
            return
        finally:
            figures.take_away()
        await asyncio.sleep(AGAIN_IN_S)


class _Added(list[Figured]):
    """What one duty adds to the figures of all, so that it goes when the duty ends."""

    def __init__(self, everybodys: list[Figured]) -> None:
        super().__init__()
        self._everybodys = everybodys

    def append(self, figured: Figured) -> None:
        super().append(figured)
        self._everybodys.append(figured)

    def take_away(self) -> None:
        for each in self:
            self._everybodys.remove(each)

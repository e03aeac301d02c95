"""The sender: takes what waits in the outbox, delivers it, and notes what was accepted before anything else.

Each channel has a lane of its own, so that a slow receiver of one holds up no other:

    claim a batch, under a lease -> compose -> courier -> note in a file -> mark a batch in the database

The note is written in the same step in which the courier's answer arrives, and outlives kill -9; the marks
follow a moment later. So what a dying sender may double is what was accepted but not answered yet: at most
one delivery for each of the courier's connections, under the key that it had before. (For mail not even that:
see adapters/notify/postman.py.)
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from holdfast.communication.delivering import (
    Claimed,
    Composer,
    Courier,
    DeliveryStore,
    Holder,
    Outcome,
    Request,
    RequestKind,
    Verdict,
    again_in,
    error_line,
    verdict,
)
from holdfast.communication.model import Channel, Standing
from holdfast.communication.sealing import sealed_parcel
from holdfast.communication.writing import WritingDesk
from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import HoldfastError
from holdfast.kernel.vault import Vault

LEASE = timedelta(minutes=5)
"""Longer than any courier takes. Our own next run does not wait for it."""
BATCH_EACH = 8
"""So many deliveries are taken for each that is on its way."""

Tell = Callable[[str, Mapping[str, object]], None]


class Accepted(Protocol):
    """What was accepted and is not marked in the database yet, kept where kill -9 does not reach."""

    def add(self, key: str) -> None:
        """Note it now. Raises nothing: what cannot be noted is marked a little less surely."""
        ...

    def settle(self, keys: Sequence[str]) -> None:
        """They are marked: forget them."""
        ...

    def left(self) -> Sequence[str]:
        """What an earlier run noted and did not settle."""
        ...


@dataclass(frozen=True, slots=True)
class Way:
    """How one channel is delivered: by which courier, how many at once."""

    courier: Courier
    at_once: int


@dataclass(frozen=True, slots=True)
class Pace:
    """How often things are done, in seconds.

    Retries fall due without anybody saying so: somebody has to look. While our own way out is closed, the
    pauses grow from the first to the longest.
    """

    look_every_s: float = 2.0
    mark_every_s: float = 0.05
    mark_again_s: float = 1.0
    first_pause_s: float = 1.0
    longest_pause_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Office:
    """What every lane of a sender shares."""

    store: DeliveryStore
    composer: Composer
    vault: Vault
    clock: Clock
    holder: Holder
    accepted: Accepted
    on_event: Tell
    pace: Pace = field(default_factory=Pace)


class Sender:
    """Runs a lane for each way. Any number of senders may run at once, each under a name of its own."""

    def __init__(self, office: Office, ways: Mapping[Channel, Way]) -> None:
        self._marks = Marks(office, self._marked)
        self._desk = WritingDesk(office.store, office.composer, office.vault)
        self._lanes = [Lane(office, channel, way, self._marks, self._desk) for channel, way in ways.items()]

    async def run(self) -> None:
        """Run until cancelled; what was accepted is marked before it returns, where the database answers.

        What an earlier run noted is marked before anything is claimed.
        """
        await self._marks.catch_up()
        marking = asyncio.create_task(self._marks.run())
        try:
            async with asyncio.TaskGroup() as group:
                for lane in self._lanes:
                    group.create_task(lane.run())
                group.create_task(_until_done(marking))
        finally:
            for lane in self._lanes:
                await lane.close()
            marking.cancel()
            await asyncio.gather(marking, return_exceptions=True)
            await self._marks.flush_once()

    def wake(self) -> None:
        """Something was queued: look now."""
        for lane in self._lanes:
            lane.wake()

    def _marked(self) -> None:
        # What waited behind these for the same subscriptions is due now.
        self.wake()


async def _until_done(task: "asyncio.Task[None]") -> None:
    await asyncio.wait({task})
    task.result()


class Marks:
    """Marks what was sent, in batches. What the database does not take now it is told again."""

    def __init__(self, office: Office, marked: Callable[[], None]) -> None:
        self._store = office.store
        self._accepted = office.accepted
        self._tell = office.on_event
        self._pace = office.pace
        self._on_marked = marked
        self._waiting: list[str] = []
        self._something = asyncio.Event()

    def add(self, key: str) -> None:
        """Noted in the same step as the courier's answer arrived: nothing is awaited before this."""
        self._accepted.add(key)
        self._waiting.append(key)
        self._something.set()

    async def catch_up(self) -> None:
        """Mark what an earlier run left; waits for the database as long as it takes."""
        self._waiting += self._accepted.left()
        if self._waiting:
            self._tell("sender_caught_up", {"accepted_before": len(self._waiting)})
        await self._flush()

    async def run(self) -> None:
        while True:
            await self._something.wait()
            await asyncio.sleep(self._pace.mark_every_s)
            self._something.clear()
            await self._flush()

    async def _flush(self) -> None:
        while not await self.flush_once():  # noqa: ASYNC110  it is the database that is waited for
            await asyncio.sleep(self._pace.mark_again_s)

    async def flush_once(self) -> bool:
        """False when the database could not be reached."""
        keys = self._waiting[:]
        if not keys:
            return True
        try:
            await self._store.sent(keys)
        except HoldfastError as error:
            self._tell("sent_not_marked", {"count": len(keys), "error": str(error)})
            return False
        del self._waiting[: len(keys)]
        self._accepted.settle(keys)
        self._on_marked()
        return True


class Lane:
    """One channel: keeps its courier busy, and pauses as a whole while our own way out is closed."""

    def __init__(self, office: Office, channel: Channel, way: Way, marks: Marks, desk: WritingDesk) -> None:
        self._office = office
        self._store = office.store
        self._clock = office.clock
        self._channel = channel
        self._way = way
        self._marks = marks
        self._desk = desk
        self._taken: deque[tuple[Claimed, float]] = deque()
        self._under_way: set[asyncio.Task[None]] = set()
        self._woken = asyncio.Event()
        self._more = True
        """There may be something to claim: until a claim comes back short, and again after being woken."""
        self._is_closed = False
        self._pause_s = 0.0
        self._told = ""

    def wake(self) -> None:
        self._more = True
        self._woken.set()

    async def run(self) -> None:
        while True:
            self._woken.clear()
            if self._is_closed:
                await self._stay_closed()
            if self._more and len(self._taken) < self._way.at_once:
                await self._take()
            self._start()
            await self._rest()

    async def close(self) -> None:
        """Give back what was not begun, and give up what is under way: it is delivered again, same key."""
        self._is_closed = True  # what ends now makes room for nothing
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        await self._give_back()

    async def _take(self) -> None:
        # The first after a pause is tried alone.
        wanted = 1 if self._pause_s else self._way.at_once * BATCH_EACH
        wanted -= len(self._taken) + len(self._under_way)
        if wanted <= 0:
            return
        try:
            claimed = await self._store.claim(self._channel, wanted, LEASE, self._office.holder)
        except HoldfastError as error:
            self._more = False
            self._tell_once("outbox_not_read", str(error))
            return
        self._more = len(claimed) == wanted
        # Half of the lease is left for delivering it.
        ends = self._clock.monotonic() + LEASE.total_seconds() / 2
        self._taken.extend((each, ends) for each in claimed)

    def _start(self) -> None:
        while self._taken and len(self._under_way) < self._way.at_once and not self._is_closed:
            each, ends = self._taken.popleft()
            # One that waited for too long is claimed anew, by whoever is faster.
            if self._clock.monotonic() < ends:
                task = asyncio.create_task(self._deliver(each))
                self._under_way.add(task)
                task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._under_way.discard(task)
        self._start()
        if self._is_closed or (self._more and len(self._taken) < self._way.at_once):
            self._woken.set()

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(self._office.pace.look_every_s):
                await self._woken.wait()
        except TimeoutError:
            self._more = True

    async def _stay_closed(self) -> None:
        """Our own way out is closed: give back what is taken, wait, and then try one."""
        if self._under_way:
            await asyncio.wait(self._under_way)
        await self._give_back()
        pace = self._office.pace
        self._pause_s = min(max(2 * self._pause_s, pace.first_pause_s), pace.longest_pause_s)
        await asyncio.sleep(self._pause_s)
        self._is_closed, self._more = False, True

    async def _give_back(self) -> None:
        taken = [each for each, _ in self._taken]
        self._taken.clear()
        if taken:
            await self._stored(self._store.release, taken)

    async def _deliver(self, claimed: Claimed) -> None:
        if claimed.subscription_id is not None and not _wanted(claimed):
            await self._stored(self._store.give_up, claimed, "no longer subscribed")
            return
        try:
            delivery = await self._desk.written(claimed)
            outcome = await self._way.courier.deliver(delivery)
        except Exception as error:  # noqa: BLE001  a fault of ours: tried again, and held against nobody
            # Only the error's type: its text may hold an address.
            fault = f"not delivered for a fault of ours: {type(error).__name__}"
            self._tell_once("delivery_broke", fault)
            await self._stored(
                lambda: self._store.again(claimed, fault, again_in(claimed.attempt), ours=True)
            )
            return
        if outcome.ok:
            self._marks.add(claimed.key)
            self._pause_s, self._told = 0.0, ""
            return
        await self._failed(claimed, outcome)

    async def _failed(self, claimed: Claimed, outcome: Outcome) -> None:
        decided = verdict(outcome, claimed, self._clock.now())
        store, error = self._store, error_line(outcome.error)
        if decided is Verdict.RELEASE:
            self._is_closed = True
            self._tell_once("way_out_closed", error)
            await self._stored(store.release, [claimed])
            return
        self._pause_s = 0.0
        facts = {
            "channel": self._channel.value,
            "key": claimed.key,
            "attempt": claimed.attempt,
            "error": error,
        }
        self._office.on_event(f"delivery_{decided.value}", facts)
        if decided is Verdict.AGAIN:
            wait = max(again_in(claimed.attempt), outcome.retry_after)
            await self._stored(store.again, claimed, error, wait)
        elif decided is Verdict.PAUSE:
            told = sealed_parcel(self._office.vault, Request(RequestKind.PAUSED, error))
            await self._stored(store.pause, claimed, error, told)
        elif decided is Verdict.END:
            await self._stored(store.end, claimed, error)
        else:
            await self._stored(lambda: store.give_up(claimed, error, refused=outcome.gone))

    async def _stored(self, store: Callable[..., object], *values: object) -> None:
        """What the database does not take now comes back with the end of the lease."""
        try:
            await store(*values)  # type: ignore[misc]
        except HoldfastError as error:
            self._tell_once("outcome_not_stored", str(error))

    def _tell_once(self, event: str, error: str) -> None:
        if self._told != event + error:
            self._told = event + error
            self._office.on_event(event, {"channel": self._channel.value, "error": error})


def _wanted(claimed: Claimed) -> bool:
    """Only requests go to who is not active; nothing goes to who ended it while it was on its way."""
    if claimed.address is None or claimed.standing is Standing.ENDED:
        return False
    return claimed.sealed is not None or claimed.standing is Standing.ACTIVE

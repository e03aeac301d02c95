"""Vantage points, their deliveries and beats in memory, for tests. Everything ends with the process."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from holdfast.adapters.memory.availability import MemoryAvailability
from holdfast.availability.ingest import Decide, Delivery, Loss, Probes, Taken
from holdfast.availability.model import State, one_line
from holdfast.availability.ports import Batch
from holdfast.availability.vantage import EAR_LASTS, Beat, Pulse, VantageLogin
from holdfast.availability.verdicts import CheckState
from holdfast.kernel.clock import Clock


class MemoryAgents:
    """AgentStore and Logins. `vantage_of` maps probes to vantage points; `removed` ones left the estate."""

    def __init__(self, shared: MemoryAvailability, clock: Clock, vantage_of: Mapping[int, str]) -> None:
        self._shared = shared
        self._clock = clock
        self._vantage_of = vantage_of
        self.removed: set[int] = set()
        self.losses: dict[tuple[str, UUID, int], Loss] = {}
        self._logins: dict[str, VantageLogin] = {}
        self._tokens: dict[str, bytes] = {}

    async def add(self, key: str, token_sha256: bytes, actor: str) -> None:
        del actor
        self._logins[key] = VantageLogin(key, self._clock.now())
        self._tokens[key] = token_sha256

    async def revoke(self, key: str, actor: str) -> bool:
        del actor
        login = self._logins.get(key)
        if login is None or login.revoked_at is not None:
            return False
        self._logins[key] = replace(login, revoked_at=self._clock.now())
        return True

    async def logins(self) -> Sequence[VantageLogin]:
        return [self._logins[key] for key in sorted(self._logins)]

    async def holder_of(self, token_sha256: bytes, address: str) -> str | None:
        key = self._holder(token_sha256)
        if key is not None:
            seen = replace(self._logins[key], last_seen_at=self._clock.now(), last_address=one_line(address))
            self._logins[key] = seen
        return key

    async def take(self, token_sha256: bytes, delivery: Delivery, decide: Decide) -> Taken | None:
        vantage = self._holder(token_sha256)
        if vantage is None:
            return None
        own = {probe for probe, at in self._vantage_of.items() if at == vantage}
        named = {result.check_id for result in delivery.results}
        known = await self._shared.check_states(named & own)
        unheard = {probe: self._shared.transitions_of(probe) for probe in named - known.keys()}
        until = {probe: line[-1].at for probe, line in unheard.items() if line}
        taken = decide(Probes(own, own - self.removed, until), known)
        await self._shared.record(taken.batch)
        for loss in delivery.losses.by_probe if delivery.losses else ():
            if delivery.losses is not None and loss.check_id in own:
                self.losses[vantage, delivery.losses.id, loss.check_id] = loss
        return taken

    async def retire(self, decide: Callable[[Collection[CheckState]], Batch]) -> int:
        states = await self._shared.check_states(self.removed & self._vantage_of.keys())
        departed = [state for state in states.values() if state.state is not State.RETIRED]
        await self._shared.record(decide(departed))
        return len(departed)

    def _holder(self, token_sha256: bytes) -> str | None:
        for key, kept in self._tokens.items():
            if kept == token_sha256 and self._logins[key].revoked_at is None:
                return key
        return None


@dataclass(frozen=True, slots=True)
class _Heard:
    since: datetime
    at: datetime | None = None
    failed: bool = False
    message: str = ""


class MemoryBeats:
    """Beats on the clock that it is given."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heard: dict[bytes, _Heard] = {}
        self._ear: tuple[datetime, datetime] | None = None

    async def listen_for(self, tokens_sha256: Collection[bytes]) -> None:
        fresh = _Heard(self._clock.now())
        self._heard = {token: self._heard.get(token, fresh) for token in tokens_sha256}

    async def keep_ear_open(self) -> None:
        now = self._clock.now()
        since = now if self._ear is None or self._ear[1] < now else self._ear[0]
        self._ear = (since, now + EAR_LASTS)

    async def beat(self, token_sha256: bytes, *, failed: bool, message: str) -> bool:
        heard = self._heard.get(token_sha256)
        if heard is None:
            return False
        self._heard[token_sha256] = _Heard(heard.since, self._clock.now(), failed, one_line(message))
        return True

    async def pulse(self, token_sha256: bytes) -> Pulse | None:
        heard, now = self._heard.get(token_sha256), self._clock.now()
        if heard is None or self._ear is None:
            return None
        newest = None if heard.at is None else Beat(now - heard.at, heard.failed, heard.message)
        is_open = self._ear[1] >= now
        return Pulse(_positive(now - max(heard.since, self._ear[0])) if is_open else None, newest)


def _positive(length: timedelta) -> timedelta:
    return max(length, timedelta())

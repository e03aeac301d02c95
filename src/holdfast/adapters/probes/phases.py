"""The time of one attempt: a bound for each phase, a bound for all of them, and where the time went."""

import asyncio
from datetime import timedelta
from time import perf_counter_ns
from types import TracebackType

from holdfast.adapters.probes.errors import AttemptFailed
from holdfast.availability.model import Timings
from holdfast.estate.checks import Check
from holdfast.kernel.durations import format_duration

_FAREWELL = timedelta(milliseconds=500)


class Attempt:
    """One attempt's clock. Phases that happen several times, as over redirects, add up."""

    __slots__ = ("_deadline", "_spent_us", "_started_ns", "_timeout", "_timeouts", "loop")

    def __init__(self, check: Check) -> None:
        self.loop = asyncio.get_running_loop()
        self._started_ns = perf_counter_ns()
        self._timeout = check.timeout
        self._timeouts = check.timeouts
        self._deadline = self.loop.time() + check.timeout.total_seconds()
        self._spent_us: dict[str, int] = {}

    def resolving(self) -> "Phase":
        return Phase(self, "resolve", self._timeouts.resolve)

    def connecting(self) -> "Phase":
        return Phase(self, "connect", self._timeouts.connect)

    def securing(self) -> "Phase":
        return Phase(self, "tls", self._timeouts.tls)

    def awaiting_first_byte(self) -> "Phase":
        return Phase(self, "first byte", self._timeouts.first_byte)

    def reading(self) -> "Phase":
        """The rest of the answer, which only the whole attempt's time-out bounds."""
        return Phase(self, "answer", self._timeout)

    def listening(self) -> "Phase":
        """The rest of a first answer that has no end of its own."""
        return Phase(self, "answer", self._timeouts.first_byte)

    def parting(self) -> "Phase":
        """A farewell that the other side may answer, or not."""
        return Phase(self, "farewell", _FAREWELL)

    def timings(self) -> Timings:
        spent = self._spent_us
        return Timings(
            total_us=(perf_counter_ns() - self._started_ns) // 1_000,
            resolve_us=spent.get("resolve"),
            connect_us=spent.get("connect"),
            tls_us=spent.get("tls"),
            first_byte_us=spent.get("first byte"),
        )

    def end_of(self, limit: timedelta) -> tuple[float, bool]:
        """When a phase that begins now must end, on the loop's clock, and whether the attempt ends then."""
        end = self.loop.time() + limit.total_seconds()
        return (end, False) if end < self._deadline else (self._deadline, True)

    def spend(self, phase: str, micros: int) -> None:
        self._spent_us[phase] = self._spent_us.get(phase, 0) + micros

    @property
    def timeout(self) -> timedelta:
        return self._timeout


class Phase:
    """A time-out around one phase. When it strikes, AttemptFailed names the phase."""

    __slots__ = ("_attempt", "_last", "_limit", "_name", "_started_ns", "_timeout")

    def __init__(self, attempt: Attempt, name: str, limit: timedelta) -> None:
        self._attempt = attempt
        self._name = name
        self._limit = limit

    async def __aenter__(self) -> None:
        end, self._last = self._attempt.end_of(self._limit)
        self._timeout = asyncio.timeout_at(end)
        await self._timeout.__aenter__()
        self._started_ns = perf_counter_ns()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._attempt.spend(self._name, (perf_counter_ns() - self._started_ns) // 1_000)
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError as timed_out:
            limit = self._attempt.timeout if self._last else self._limit
            whole = " in total" if self._last else ""
            raise AttemptFailed(
                f"{self._name} timed out after {format_duration(limit)}{whole}"
            ) from timed_out

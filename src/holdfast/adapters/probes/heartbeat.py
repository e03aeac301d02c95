"""Beats: whether the service's newest call is recent enough."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from holdfast.adapters.probes.errors import AttemptFailed, OwnFault
from holdfast.adapters.probes.phases import Attempt
from holdfast.adapters.probes.reach import Reach
from holdfast.availability.vantage import Pulse, sha256_of
from holdfast.estate.checks import HeartbeatCheck
from holdfast.kernel.durations import format_duration
from holdfast.kernel.errors import HoldfastError

PulseOf = Callable[[bytes], Awaitable[Pulse | None]]
"""(SHA-256 of a token) -> what is known by it; raises HoldfastError while that cannot be asked."""


class HeartbeatProbe:
    """Looks at the newest beat. What could not be heard is not the service's fault."""

    def __init__(self, reach: Reach, pulse_of: PulseOf | None) -> None:
        self._reach = reach
        self._pulse_of = pulse_of

    async def attempt(self, check: HeartbeatCheck, attempt: Attempt) -> dict[str, object]:
        """Raises AttemptFailed."""
        if self._pulse_of is None:
            raise OwnFault("beats are heard by a running controller only")
        token_sha256 = sha256_of(self._reach.secret(check.token))
        async with attempt.reading():
            try:
                pulse = await self._pulse_of(token_sha256)
            except HoldfastError as error:
                raise OwnFault("the beats cannot be asked for") from error
        if pulse is None or pulse.listening is None:
            raise OwnFault("nobody listens for its beats yet")
        return judged(pulse, pulse.listening, check)


def judged(pulse: Pulse, listening: timedelta, check: HeartbeatCheck) -> dict[str, object]:
    """The facts about a beat that is recent enough. Raises AttemptFailed when there is none."""
    patience = check.every + check.grace
    newest = pulse.newest
    if newest is not None and newest.failed:
        raise AttemptFailed("the service reports a failure")
    if newest is not None and newest.age <= patience:
        return {"beat_age": newest.age, "beat_message": newest.message}
    expected = f"expected every {format_duration(check.every)}"
    if listening <= patience:
        # It may have called while nobody listened, or has had no time to call yet.
        raise OwnFault(f"no beat yet, {expected}")
    silence = listening if newest is None else min(newest.age, listening)
    raise AttemptFailed(f"no beat for {_rounded(silence)}, {expected}")


def _rounded(length: timedelta) -> str:
    """In whole seconds, minutes or hours: a customer has no use for more."""
    for unit in (timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)):
        if length >= 2 * unit:
            return format_duration(length // unit * unit)
    return format_duration(timedelta(seconds=1))

"""What a heartbeat's silence means, and when it means nothing."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from holdfast.adapters.probes import Probes
from holdfast.availability.conditions import validate
from holdfast.availability.judging import compile_check, judge
from holdfast.availability.model import Outcome
from holdfast.availability.vantage import Beat, Pulse, sha256_of
from holdfast.availability.verdicts import Rules
from holdfast.estate.checks import HeartbeatCheck
from holdfast.estate.values import SecretRef
from holdfast.kernel.errors import HoldfastError

TOKEN = "beat-of-the-night-job"
MINUTE = timedelta(minutes=1)
CHECK = HeartbeatCheck(
    type="heartbeat", token=SecretRef(source="env", name="BEAT"), every=MINUTE, grace=MINUTE / 2
)


async def look(
    pulse_of: Callable[[bytes], Awaitable[Pulse | None]] | None, check: HeartbeatCheck = CHECK
) -> tuple[Outcome, str] | None:
    """The outcome and its reason; None when nothing can be said about the service."""
    probes = Probes(resolve_secret=lambda _: TOKEN, pulse_of=pulse_of)
    observation = await probes.attempt(check)
    await probes.close()
    return None if observation.ours else judge(compile_check(check), observation)


def heard(
    newest_s: float | None, listening_s: float | None = 3600, *, failed: bool = False, message: str = ""
) -> Callable[[bytes], Awaitable[Pulse | None]]:
    async def pulse_of(token_sha256: bytes) -> Pulse | None:
        assert token_sha256 == sha256_of(TOKEN)
        newest = None if newest_s is None else Beat(timedelta(seconds=newest_s), failed, message)
        return Pulse(None if listening_s is None else timedelta(seconds=listening_s), newest)

    return pulse_of


@pytest.mark.parametrize(
    ("newest", "listening", "expected"),
    [
        (0, 3600, (Outcome.GOOD, "")),
        (89.9, 3600, (Outcome.GOOD, "")),
        (90, 3600, (Outcome.GOOD, "")),
        (90.1, 3600, (Outcome.FAILED, "no beat for 1m30s, expected every 1m")),
        (180, 3600, (Outcome.FAILED, "no beat for 3m, expected every 1m")),
        (86_400 * 3, 86_400 * 9, (Outcome.FAILED, "no beat for 3d, expected every 1m")),
        (None, 600, (Outcome.FAILED, "no beat for 10m, expected every 1m")),
        # Who has not listened for as long as a beat may take knows nothing.
        (None, 0, None),
        (None, 90, None),
        (7200, 60, None),
        (7200, 120, (Outcome.FAILED, "no beat for 2m, expected every 1m")),
        # What came before the ears were closed still counts while it is recent.
        (80, 1, (Outcome.GOOD, "")),
        (0, None, None),
    ],
)
async def test_silence(
    newest: float | None, listening: float | None, expected: tuple[Outcome, str] | None
) -> None:
    assert await look(heard(newest, listening)) == expected


async def test_a_reported_failure_is_one() -> None:
    assert await look(heard(1, failed=True)) == (Outcome.FAILED, "the service reports a failure")


async def test_its_message_never_reaches_customers() -> None:
    check = CHECK.model_copy(update={"conditions": ()})
    outcome, reason = await look(heard(1, failed=True, message="password is hunter2"), check) or (None, "")
    assert outcome is Outcome.FAILED
    assert "hunter2" not in reason


@pytest.mark.parametrize("trouble", [HoldfastError("away"), None])
async def test_what_cannot_be_asked_is_not_the_services_fault(trouble: HoldfastError | None) -> None:
    async def pulse_of(_: bytes) -> Pulse | None:
        if trouble is not None:
            raise trouble
        return None

    assert await look(pulse_of) is None


async def test_an_agent_hears_nothing() -> None:
    assert await look(None) is None


async def test_conditions_may_judge_a_beat() -> None:
    assert validate("heartbeat", 'beat_age < 30s and not beat_message contains "WARN"') is None
    check = HeartbeatCheck.model_validate(
        {**CHECK.model_dump(), "conditions": [{"expect": "beat_age < 30s", "otherwise": "degraded"}]}
    )
    assert await look(heard(10), check) == (Outcome.GOOD, "")
    found = await look(heard(45), check)
    assert found is not None
    assert found[0] is Outcome.DEGRADED


@pytest.mark.parametrize(("every_s", "rhythm_s"), [(1, 1), (15, 15), (60, 15), (86_400 * 7, 15)])
def test_it_is_looked_at_more_often_than_it_beats(every_s: int, rhythm_s: int) -> None:
    check = HeartbeatCheck.model_validate({**CHECK.model_dump(), "every": timedelta(seconds=every_s)})
    assert Rules.of(check).every == timedelta(seconds=rhythm_s)

"""The HTTP probe: one fresh connection per request, every phase bounded, redirects followed with care."""

from dataclasses import dataclass

from holdfast.adapters.probes.errors import AttemptFailed, failure_of
from holdfast.adapters.probes.http_answer import Answer
from holdfast.adapters.probes.http_request import (
    Request,
    Target,
    redirection,
    request_of,
    target_of,
)
from holdfast.adapters.probes.phases import Attempt
from holdfast.adapters.probes.reach import Reach
from holdfast.adapters.probes.tls import secure
from holdfast.estate.checks import HttpCheck
from holdfast.estate.values import SecretRef


@dataclass(frozen=True, slots=True)
class HttpPlan:
    """What of a check can be prepared once. `request` is None when secrets are to be read anew each time."""

    target: Target
    request: Request | None
    sent: bytes


class HttpProbe:
    def __init__(self, reach: Reach) -> None:
        self._reach = reach

    def plan(self, check: HttpCheck) -> HttpPlan:
        """Prepare `check`. Raises AttemptFailed when it can never be sent."""
        target = target_of(check.url)
        if any(isinstance(value, SecretRef) for value in check.headers.values()):
            return HttpPlan(target, None, b"")
        request = request_of(check, self._reach)
        return HttpPlan(target, request, request.bytes_for(target))

    async def attempt(self, check: HttpCheck, plan: HttpPlan, attempt: Attempt) -> dict[str, object]:
        """The facts about the last answer. Raises AttemptFailed."""
        target, request, sent = plan.target, plan.request, plan.sent
        if request is None:
            request = request_of(check, self._reach)
            sent = request.bytes_for(target)
        for followed in range(check.follow_redirects + 1):
            answer, tls = await self._exchange(check, attempt, target, request.method, sent)
            onward = redirection(answer.status, answer.headers, target) if check.follow_redirects else None
            if onward is None:
                return {**answer.facts(), **tls, "redirects": followed}
            request = request.redirected(answer.status, target, onward)
            target, sent = onward, request.bytes_for(onward)
        raise AttemptFailed(f"more than {check.follow_redirects} redirects")

    async def _exchange(
        self, check: HttpCheck, attempt: Attempt, target: Target, method: str, sent: bytes
    ) -> tuple[Answer, dict[str, object]]:
        wire = await self._reach.open_wire(attempt, target.host, target.port)
        try:
            tls: dict[str, object] = {}
            if target.secure:
                tls = await secure(
                    attempt,
                    wire,
                    self._reach.trust,
                    server_name=target.host,
                    verify=check.verify_tls,
                    ca_file=check.ca_file,
                )
            answer = Answer(attempt.loop, head_only=method == "HEAD")
            async with attempt.awaiting_first_byte():
                wire.write(sent)
                wire.attach(answer)
                await answer.begun
            if not answer.finished.done():
                async with attempt.reading():
                    await answer.finished
        except OSError as error:
            raise failure_of(error) from error
        finally:
            wire.close()
        if answer.failure is not None:
            raise AttemptFailed(answer.failure)
        return answer, tls

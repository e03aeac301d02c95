"""All probes behind the one port: each check goes to the probe of its type and becomes an observation."""

import traceback
import weakref
from collections.abc import Sequence

import structlog

from holdfast.adapters.probes.addresses import Addresses
from holdfast.adapters.probes.errors import AttemptFailed
from holdfast.adapters.probes.http import HttpPlan, HttpProbe
from holdfast.adapters.probes.http_request import ResolveSecret
from holdfast.adapters.probes.phases import Attempt
from holdfast.adapters.probes.tcp import TcpPlan, TcpProbe, TlsProbe
from holdfast.adapters.probes.tls import Trust
from holdfast.availability.conditions import parse
from holdfast.availability.errors import ConditionError
from holdfast.availability.model import Observation
from holdfast.estate.model import Check, HttpCheck, TcpCheck, TlsCheck

log = structlog.get_logger(__name__)

_Plan = HttpPlan | TcpPlan | None


class Probes:
    """The probe for every check type (availability.ports.Probe). `close` ends its name lookups."""

    def __init__(self, resolve_secret: ResolveSecret, *, nameservers: Sequence[str] = ()) -> None:
        """`resolve_secret` is asked at each attempt of a check with secrets, so that a changed one is seen.

        `nameservers` (`address:port`) stand in for the system's.
        """
        self._addresses = Addresses(nameservers)
        trust = Trust()
        self._http = HttpProbe(self._addresses, trust, resolve_secret)
        self._tcp = TcpProbe(self._addresses)
        self._tls = TlsProbe(self._addresses, trust)
        self._plans: dict[int, tuple[weakref.ref[Check], _Plan]] = {}

    async def attempt(self, check: Check) -> Observation:
        """One attempt. Raises only asyncio.CancelledError."""
        attempt = Attempt(check)
        try:
            facts = await self._run(check, attempt)
        except AttemptFailed as failed:
            return Observation(attempt.timings(), error=str(failed))
        except Exception as error:  # noqa: BLE001  a bug of ours must not stop the watch over everything else
            # As text: a renderer that shows local variables would show the request's secrets.
            trace = traceback.format_exc()
            log.error("attempt_crashed", check_type=check.type, trace=trace)  # noqa: TRY400
            return Observation(attempt.timings(), error=f"internal: {type(error).__name__}")
        return Observation(attempt.timings(), facts=facts)

    async def close(self) -> None:
        await self._addresses.close()

    async def _run(self, check: Check, attempt: Attempt) -> dict[str, object]:
        known = self._plans.get(id(check))
        plan = known[1] if known is not None else self._planned(check)
        match check, plan:
            case HttpCheck(), HttpPlan():
                return await self._http.attempt(check, plan, attempt)
            case TcpCheck(), TcpPlan():
                return await self._tcp.attempt(check, plan, attempt)
            case TlsCheck(), None:
                return await self._tls.attempt(check, attempt)
        raise TypeError(f"no probe for a check of type {check.type}")

    def _planned(self, check: Check) -> _Plan:
        """Made once per check, and forgotten with it: an estate that is loaded anew has new checks."""
        plan: _Plan = None
        match check:
            case HttpCheck():
                plan = self._http.plan(check)
            case TcpCheck():
                plan = _tcp_plan(check)
        key, plans = id(check), self._plans
        plans[key] = (weakref.ref(check, lambda _: plans.pop(key, None)), plan)
        return plan


def _tcp_plan(check: TcpCheck) -> TcpPlan:
    try:
        parsed = [parse(condition.expect, check.type) for condition in check.conditions]
    except ConditionError as error:
        raise AttemptFailed("internal: a condition of the check cannot be read") from error
    about_answer = [expression for expression in parsed if "answer" in expression.names]
    if not about_answer:
        return TcpPlan(None)
    # Listening may stop early only when more text cannot change the judgement: not when a time is asked for
    # beside the answer, and not when silence would do as well (`not answer contains "ERR"`).
    unsure = any(
        expression.names != {"answer"} or expression.holds({"answer": b""}).holds
        for expression in about_answer
    )

    def enough(answer: bytes) -> bool:
        return not unsure and all(expression.holds({"answer": answer}).holds for expression in about_answer)

    return TcpPlan(enough)

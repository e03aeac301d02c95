"""All probes behind the one port: each check goes to the probe of its type and becomes an observation."""

import traceback
import weakref
from collections.abc import Sequence

import structlog

from holdfast.adapters.probes.addresses import Addresses
from holdfast.adapters.probes.amqp import AmqpProbe
from holdfast.adapters.probes.dns import DnsProbe
from holdfast.adapters.probes.domain import BOOTSTRAP, ROOT_WHOIS, DomainProbe
from holdfast.adapters.probes.errors import AttemptFailed, OwnFault, failure_of
from holdfast.adapters.probes.grpc import GrpcProbe
from holdfast.adapters.probes.heartbeat import HeartbeatProbe, PulseOf
from holdfast.adapters.probes.http import HttpPlan, HttpProbe
from holdfast.adapters.probes.icmp import IcmpProbe
from holdfast.adapters.probes.phases import Attempt
from holdfast.adapters.probes.postgres import PostgresProbe
from holdfast.adapters.probes.prometheus import PrometheusPlan, PrometheusProbe
from holdfast.adapters.probes.reach import Reach, ResolveSecret
from holdfast.adapters.probes.smtp import SmtpProbe
from holdfast.adapters.probes.tcp import TcpPlan, TcpProbe, TlsProbe
from holdfast.adapters.probes.tls import Trust
from holdfast.adapters.probes.websocket import WebsocketPlan, WebsocketProbe
from holdfast.availability.conditions import Expression, parse
from holdfast.availability.errors import ConditionError
from holdfast.availability.model import Observation
from holdfast.estate.checks import (
    AmqpCheck,
    Check,
    DnsCheck,
    DomainCheck,
    GrpcCheck,
    HeartbeatCheck,
    HttpCheck,
    IcmpCheck,
    PostgresCheck,
    PrometheusCheck,
    SmtpCheck,
    TcpCheck,
    TlsCheck,
    WebsocketCheck,
)

log = structlog.get_logger(__name__)

_Plan = HttpPlan | TcpPlan | WebsocketPlan | PrometheusPlan | None


class Probes:
    """The probe for every check type (availability.ports.Probe). `close` ends its name lookups."""

    def __init__(
        self,
        resolve_secret: ResolveSecret,
        *,
        nameservers: Sequence[str] = (),
        rdap_bootstrap: str = BOOTSTRAP,
        root_whois: str = ROOT_WHOIS,
        pulse_of: PulseOf | None = None,
    ) -> None:
        """`resolve_secret` is asked at each attempt of a check with secrets, so that a changed one is seen.

        `pulse_of` tells of beats; without it there is nobody who hears them.

        `nameservers` (`address:port`) stand in for the system's, the other two for those of IANA.
        """
        self._addresses = Addresses(nameservers)
        reach = Reach(self._addresses, Trust(), resolve_secret)
        self._http = HttpProbe(reach)
        self._tcp = TcpProbe(reach)
        self._tls = TlsProbe(reach)
        self._dns = DnsProbe(reach)
        self._icmp = IcmpProbe(reach)
        self._amqp = AmqpProbe(reach)
        self._smtp = SmtpProbe(reach)
        self._grpc = GrpcProbe(reach)
        self._postgres = PostgresProbe(reach)
        self._websocket = WebsocketProbe(reach)
        self._prometheus = PrometheusProbe(self._http)
        self._domain = DomainProbe(reach, self._http, bootstrap=rdap_bootstrap, root_whois=root_whois)
        self._heartbeat = HeartbeatProbe(reach, pulse_of)
        self._plans: dict[int, tuple[weakref.ref[Check], _Plan]] = {}

    async def attempt(self, check: Check) -> Observation:
        """One attempt. Raises only asyncio.CancelledError."""
        attempt = Attempt(check)
        try:
            facts = await self._run(check, attempt)
        except AttemptFailed as failed:
            return Observation(attempt.timings(), error=str(failed), ours=isinstance(failed, OwnFault))
        except OSError as error:  # such as no file descriptor for a module that is imported late
            return self._broke(check, attempt, error, failure_of(error))
        except Exception as error:  # noqa: BLE001  a bug of ours must not stop the watch over everything else
            return self._broke(check, attempt, error)
        return Observation(attempt.timings(), facts=facts)

    def _broke(
        self, check: Check, attempt: Attempt, error: Exception, failed: AttemptFailed | None = None
    ) -> Observation:
        """What no probe was prepared for is our own fault, whatever the target did."""
        words = str(failed) if isinstance(failed, OwnFault) else f"a bug: {type(error).__name__}"
        # As text: a renderer that shows local variables would show the request's secrets.
        trace = "".join(traceback.format_exception(error))
        log.error("attempt_crashed", check_type=check.type, trace=trace)
        return Observation(attempt.timings(), error=words, ours=True)

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
            case WebsocketCheck(), WebsocketPlan():
                return await self._websocket.attempt(check, plan, attempt)
            case PrometheusCheck(), PrometheusPlan():
                return await self._prometheus.attempt(plan, attempt)
        return await self._run_unplanned(check, attempt)

    async def _run_unplanned(self, check: Check, attempt: Attempt) -> dict[str, object]:
        match check:
            case DnsCheck():
                return await self._dns.attempt(check, attempt)
            case IcmpCheck():
                return await self._icmp.attempt(check, attempt)
            case AmqpCheck():
                return await self._amqp.attempt(check, attempt)
            case SmtpCheck():
                return await self._smtp.attempt(check, attempt)
            case GrpcCheck():
                return await self._grpc.attempt(check, attempt)
            case PostgresCheck():
                return await self._postgres.attempt(check, attempt)
            case DomainCheck():
                return await self._domain.attempt(check, attempt)
            case HeartbeatCheck():
                return await self._heartbeat.attempt(check, attempt)
        raise TypeError(f"no probe for a check of type {check.type}")

    def _planned(self, check: Check) -> _Plan:
        """Made once per check, and forgotten with it: an estate that is loaded anew has new checks."""
        plan: _Plan = None
        match check:
            case HttpCheck():
                plan = self._http.plan(check)
            case TcpCheck():
                plan = _tcp_plan(check)
            case WebsocketCheck():
                plan = self._websocket.plan(check, listens=_mentions(check, "message"))
            case PrometheusCheck():
                plan = self._prometheus.plan(check)
        key, plans = id(check), self._plans
        plans[key] = (weakref.ref(check, lambda _: plans.pop(key, None)), plan)
        return plan


def _parsed(check: Check) -> list[Expression]:
    try:
        return [parse(condition.expect, check.type) for condition in check.conditions]
    except ConditionError as error:
        raise OwnFault("a condition of the check cannot be read") from error


def _mentions(check: Check, fact: str) -> bool:
    return any(fact in expression.names for expression in _parsed(check))


def _tcp_plan(check: TcpCheck) -> TcpPlan:
    about_answer = [expression for expression in _parsed(check) if "answer" in expression.names]
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

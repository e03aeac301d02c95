"""What an agent and a controller say to each other, as JSON. Both sides speak through here.

Fields that are not known are ignored, so that either side may be newer than the other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from pydantic import TypeAdapter, ValidationError

from holdfast.availability.errors import AvailabilityError, ConditionError
from holdfast.availability.ingest import Delivery, Loss, Losses, Taken
from holdfast.availability.judging import compile_check
from holdfast.availability.model import Outcome, Result, Timings, one_line
from holdfast.availability.rounds import Watched
from holdfast.estate.checks import Check

MOST_RESULTS = 5_000
LARGEST_BODY = 4 * 1024 * 1024
CHECKS_PATH = "/agents/v1/checks"
RESULTS_PATH = "/agents/v1/results"
_OUTCOMES = {outcome.name.lower(): outcome for outcome in Outcome}

ProbeId = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]
Micros = Annotated[int, msgspec.Meta(ge=0, le=2**40)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**40)]


class MessageError(AvailabilityError):
    """What was said is not understood."""


class ResultMessage(msgspec.Struct, omit_defaults=True, frozen=True):
    """One result. Times in microseconds; a phase that did not happen is left out."""

    probe: ProbeId
    at: Moment
    outcome: Literal["good", "degraded", "partial", "failed"]
    total_us: Micros
    resolve_us: Micros | None = None
    connect_us: Micros | None = None
    tls_us: Micros | None = None
    first_byte_us: Micros | None = None
    reason: Annotated[str, msgspec.Meta(max_length=4000)] = ""
    attempts: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 1

    @classmethod
    def of(cls, result: Result) -> "ResultMessage":
        timings = result.timings
        return cls(
            result.check_id,
            result.at,
            result.outcome.name.lower(),  # type: ignore[arg-type]
            timings.total_us,
            timings.resolve_us,
            timings.connect_us,
            timings.tls_us,
            timings.first_byte_us,
            result.reason,
            result.attempts,
        )

    @property
    def result(self) -> Result:
        timings = Timings(self.total_us, self.resolve_us, self.connect_us, self.tls_us, self.first_byte_us)
        at = self.at.astimezone(UTC)
        return Result(self.probe, at, _OUTCOMES[self.outcome], timings, one_line(self.reason), self.attempts)


class LossMessage(msgspec.Struct, frozen=True):
    """Results of one probe that were given up, counted by outcome."""

    probe: ProbeId
    first: Moment
    last: Moment
    good: Count = 0
    degraded: Count = 0
    partial: Count = 0
    failed: Count = 0


class LossesMessage(msgspec.Struct, frozen=True):
    id: UUID
    by_probe: Annotated[list[LossMessage], msgspec.Meta(max_length=50_000)]

    @classmethod
    def of(cls, losses: Losses) -> "LossesMessage":
        return cls(
            losses.id,
            [
                LossMessage(o.check_id, o.first, o.last, o.good, o.degraded, o.partial, o.failed)
                for o in losses.by_probe
            ],
        )

    @property
    def losses(self) -> Losses:
        return Losses(
            self.id,
            [Loss(o.probe, o.first, o.last, o.good, o.degraded, o.partial, o.failed) for o in self.by_probe],
        )


class DeliveryMessage(msgspec.Struct, omit_defaults=True, frozen=True):
    results: Annotated[list[ResultMessage], msgspec.Meta(max_length=MOST_RESULTS)] = []
    lost: LossesMessage | None = None


class RefusedMessage(msgspec.Struct, frozen=True):
    """Why the result at `index`, counted from 0, was not taken in. Sending it again would not help."""

    index: int
    probe: int
    reason: str


class ReceiptMessage(msgspec.Struct, frozen=True):
    """What became of a delivery."""

    stored: int
    absorbed: int
    refused: list[RefusedMessage]


class CheckMessage(msgspec.Struct, frozen=True):
    """A check to run, as it was declared: secrets are references, resolved where the agent runs."""

    probe: ProbeId
    component: str
    check: str
    declaration: dict[str, Any]


class ChecksMessage(msgspec.Struct, frozen=True):
    vantage: str
    name: str
    checks: list[CheckMessage]


_encode = msgspec.json.Encoder().encode
_delivery_decoder = msgspec.json.Decoder(DeliveryMessage)
_result_decoder = msgspec.json.Decoder(ResultMessage)
_receipt_decoder = msgspec.json.Decoder(ReceiptMessage)
_checks_decoder = msgspec.json.Decoder(ChecksMessage)
_losses_decoder = msgspec.json.Decoder(LossesMessage)
_check: TypeAdapter[Check] = TypeAdapter(Check)


def encode_result(result: Result) -> bytes:
    return _encode(ResultMessage.of(result))


def decode_result(body: bytes) -> Result:
    """Raises MessageError."""
    try:
        return _result_decoder.decode(body).result
    except (msgspec.MsgspecError, OverflowError) as error:
        raise MessageError(f"not a result: {error}") from error


def encode_delivery(results: Sequence[Result], losses: Losses | None) -> bytes:
    lost = None if losses is None else LossesMessage.of(losses)
    return _encode(DeliveryMessage([ResultMessage.of(result) for result in results], lost))


def decode_delivery(body: bytes) -> Delivery:
    """Raises MessageError, which says where in the document the trouble is."""
    try:
        message = _delivery_decoder.decode(body)
        results = [each.result for each in message.results]
        return Delivery(results, None if message.lost is None else message.lost.losses)
    except (msgspec.MsgspecError, UnicodeDecodeError, OverflowError) as error:
        raise MessageError(one_line(str(error))) from error


def encode_losses(losses: Losses) -> bytes:
    return _encode(LossesMessage.of(losses))


def decode_losses(body: bytes) -> Losses:
    """Raises MessageError."""
    try:
        return _losses_decoder.decode(body).losses
    except msgspec.MsgspecError as error:
        raise MessageError(f"not a report of losses: {error}") from error


def encode_receipt(taken: Taken) -> bytes:
    refused = [RefusedMessage(each.index, each.check_id, each.reason) for each in taken.refused]
    return _encode(ReceiptMessage(taken.stored, taken.absorbed, refused))


def decode_receipt(body: bytes) -> ReceiptMessage:
    """Raises MessageError."""
    try:
        return _receipt_decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise MessageError(f"not a receipt: {one_line(str(error))}") from error


def encode_checks(vantage: str, name: str, checks: Sequence[tuple[int, str, str, Check]], /) -> bytes:
    """`checks`: probe id, cluster/component, check key, and the check."""
    return _encode(
        ChecksMessage(
            vantage,
            name,
            [CheckMessage(probe, component, key, declared(check)) for probe, component, key, check in checks],
        )
    )


def declared(check: Check) -> dict[str, Any]:
    """The check as it was declared: what was left out is left out, for it may mean something."""
    return {"type": check.type, **check.model_dump(mode="json", exclude_unset=True)}


@dataclass(frozen=True, slots=True)
class Orders:
    """What a vantage point has to run. `unreadable` says which checks this agent does not understand."""

    vantage: str
    name: str
    watched: Sequence[Watched]
    labels: Mapping[int, str]
    unreadable: Mapping[int, str]


def decode_checks(body: bytes) -> Orders:
    """Raises MessageError for a document that is none. A check of an unknown type is left out."""
    try:
        message = _checks_decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise MessageError(f"not a list of checks: {one_line(str(error))}") from error
    watched: list[Watched] = []
    unreadable: dict[int, str] = {}
    for each in message.checks:
        try:
            check = _check.validate_python(each.declaration)
            watched.append(Watched.of(each.probe, compile_check(check)))
        except ValidationError as error:
            unreadable[each.probe] = one_line("; ".join(problem["msg"] for problem in error.errors()))
        except ConditionError as error:
            unreadable[each.probe] = str(error)
    labels = {each.probe: f"{each.component}/{each.check}" for each in message.checks}
    return Orders(message.vantage, message.name, watched, labels, unreadable)

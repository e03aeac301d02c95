"""An estate from a file that is partly wrong, so that the rules can judge the parts that are right.

A value that is not valid is absent: reading its attribute raises AttributeError. A rule that needs it has
nothing to say (`holdfast.estate.loader` sees to that); the value itself is already reported.
"""

from contextlib import suppress
from functools import cache
from typing import Annotated, Any, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError

from holdfast.estate.checks import (
    AmqpCheck,
    Condition,
    DnsCheck,
    DomainCheck,
    GrpcCheck,
    HeartbeatCheck,
    HttpCheck,
    IcmpCheck,
    PhaseTimeouts,
    PostgresCheck,
    PrometheusCheck,
    SmtpCheck,
    TcpCheck,
    TlsCheck,
    WebsocketCheck,
)
from holdfast.estate.model import (
    Agents,
    Agreement,
    AlertChannel,
    AlertMatch,
    AlertRoute,
    Alerts,
    Cluster,
    Colours,
    Component,
    CreditTier,
    Customer,
    Estate,
    Metric,
    Postgres,
    Region,
    Retention,
    Site,
    VantagePoint,
)
from holdfast.estate.source import Path

CHECK_TYPES: dict[str, type[BaseModel]] = {
    "http": HttpCheck,
    "tcp": TcpCheck,
    "tls": TlsCheck,
    "dns": DnsCheck,
    "icmp": IcmpCheck,
    "amqp": AmqpCheck,
    "smtp": SmtpCheck,
    "grpc": GrpcCheck,
    "postgres": PostgresCheck,
    "websocket": WebsocketCheck,
    "prometheus": PrometheusCheck,
    "domain": DomainCheck,
    "heartbeat": HeartbeatCheck,
}


def model_at(path: Path, raw: Any) -> type[BaseModel] | None:
    """The model of the part at `path`. `raw` is the part itself; a check's model depends on its type."""
    match path:
        case ():
            return Estate
        case ("site",):
            return Site
        case ("site", "colours"):
            return Colours
        case ("agents",):
            return Agents
        case ("postgres",):
            return Postgres
        case ("retention",):
            return Retention
        case ("regions", _):
            return Region
        case ("vantage_points", _):
            return VantagePoint
        case ("customers", _):
            return Customer
        case ("agreements", _):
            return Agreement
        case ("agreements", _, "credits", int()):
            return CreditTier
        case ("alerts",):
            return Alerts
        case ("alerts", "channels", _):
            return AlertChannel
        case ("alerts", "routes", int()):
            return AlertRoute
        case ("alerts", "routes", int(), "match"):
            return AlertMatch
        case ("clusters", _):
            return Cluster
        case ("clusters", _, "components", _):
            return Component
        case ("clusters", _, "components", _, "metrics", _):
            return Metric
        case ("clusters", _, "components", _, "checks", _):
            return _check_model(raw)
        case ("clusters", _, "components", _, "checks", _, "timeouts"):
            return PhaseTimeouts
        case ("clusters", _, "components", _, "checks", _, "conditions", int()):
            return Condition
    return None


def partial_estate(raw: Any) -> Estate:
    """The estate with every part that could be read; `raw` is what the file says as plain values."""
    part = _part((), raw)
    if not isinstance(part, Estate):
        raise TypeError("the whole of a file is always an estate")
    return part


def _check_model(raw: Any) -> type[BaseModel] | None:
    if not isinstance(raw, dict):
        return None
    kind = raw.get("type", "http" if "url" in raw else None)
    return CHECK_TYPES.get(kind) if isinstance(kind, str) else None


def _part(path: Path, raw: Any) -> BaseModel | None:
    model = model_at(path, raw)
    if model is None:
        return None
    if model is Condition and isinstance(raw, str):
        raw = {"expect": raw}
    given = (
        {key: value for key, value in raw.items() if key in model.model_fields}
        if isinstance(raw, dict)
        else {}
    )
    values: dict[str, Any] = {}
    broken: list[str] = []
    for name, value in given.items():
        try:
            values[name] = _adapter(model, name).validate_python(value)
        except ValidationError:
            found = _salvaged(model, name, (*path, name), value)
            if found is None:
                broken.append(name)
            else:
                values[name] = found
    part = model.model_construct(_fields_set=set(values), **values)
    for name in broken:
        # model_construct fills in defaults; a rule must not judge a default in place of what was written.
        part.__dict__.pop(name, None)
    return part


def _salvaged(model: type[BaseModel], name: str, path: Path, raw: Any) -> Any:
    """What can be used of a value that is not valid as a whole; None when nothing can."""
    if model_at(path, raw) is not None:
        return _part(path, raw)
    kind = get_origin(model.model_fields[name].annotation)
    if isinstance(raw, dict) and kind is dict:
        parts = {key: _part((*path, key), value) for key, value in raw.items()}
        readable = {key: part for key, part in parts.items() if part is not None}
        return readable or _readable_entries(_adapter(model, name), raw) or None
    if isinstance(raw, list) and kind is tuple and raw:
        items = [_part((*path, index), value) for index, value in enumerate(raw)]
        if None not in items:
            return tuple(items)
        # An unreadable text stays as it is, so that the others keep their positions.
        return None if any(isinstance(item, (dict, list)) for item in raw) else tuple(raw)
    return None


def _readable_entries(adapter: TypeAdapter[Any], raw: dict[str, Any]) -> dict[str, Any]:
    readable: dict[str, Any] = {}
    for key, value in raw.items():
        with suppress(ValidationError):
            readable |= adapter.validate_python({key: value})
    return readable


@cache
def _adapter(model: type[BaseModel], name: str) -> TypeAdapter[Any]:
    field = model.model_fields[name]
    annotation: Any = field.annotation
    for constraint in field.metadata:
        annotation = Annotated[annotation, constraint]
    return TypeAdapter(annotation)

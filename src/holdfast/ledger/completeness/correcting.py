"""Corrections: a new entry that takes the place of one that is wrong. Nothing is changed or taken away.

The new entry is the old one with other quantities, and says which leaf it corrects, why, and who says so. A
leaf is corrected once: what is wrong again is the correction, and that is corrected then (rollups.py).

The same correction asked for twice is the same line of the same importer, and goes in once (importing.py).
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any

import msgspec
from msgspec import UNSET

from holdfast.ledger.canonical import leaf_of
from holdfast.ledger.errors import RecordRefused, Unsuitable
from holdfast.ledger.model import Correction, Record

SOURCE = "corrections"
"""The key of the source that corrections come from: an importer, in each tenant that has any."""

FIELDS = (
    "colour_impressions",
    "cost_centre",
    "device",
    "document",
    "duplex",
    "fax_pages",
    "kind",
    "mono_impressions",
    "occurred_at",
    "prices",
    "quality",
    "scan_pages",
    "sheets",
    "status",
    "user",
)
"""What may be corrected. Who posted it, under which number and for which job is what it is."""
_WITH_PARTS = {"document", "prices", "sheets"}
_HINT = (
    "such as sheets.A4=3, mono_impressions=0, duplex=true, prices.print=1250EUR, cost_centre=4711; "
    "an empty value takes it out"
)


def corrected(record: Record, leaf: int, settings: Iterable[str], *, reason: str, actor: str) -> Record:
    """The entry that is to take the place of `record`, the leaf `leaf`. Its number is not given yet.

    `settings` read field=value, or field.part=value. Raises Unsuitable for what cannot be so, and
    when nothing would be another than it is.
    """
    told: dict[str, Any] = msgspec.to_builtins(record)
    for setting in settings:
        _set(told, setting)
    # The user's pseudonym and what is kept of the person belong together.
    if told.get("user") != (None if record.user is UNSET else record.user):
        told.pop("person", None)
    told["corrects"] = {"actor": actor, "leaf": leaf, "reason": " ".join(reason.split())}
    try:
        found = msgspec.convert(told, Record, strict=False)
        leaf_of(found)
    except (msgspec.ValidationError, RecordRefused) as error:
        raise Unsuitable(f"that makes no record: {error}", hint=_HINT) from error
    if msgspec.structs.replace(found, corrects=record.corrects) == record:
        raise Unsuitable("nothing would be another than it is", hint=f"say --set, {_HINT}")
    return found


def line_of(correction: Record) -> bytes:
    """What the same correction is known by: all of it but its number."""
    return sha256(leaf_of(msgspec.structs.replace(correction, epoch=0, seq=0, source=SOURCE))).digest()


def told_of(correction: Record) -> dict[str, Any]:
    """A correction as a draft tells it: without what it gets here."""
    told: dict[str, Any] = msgspec.to_builtins(correction)
    return {name: value for name, value in told.items() if name not in {"epoch", "seq", "source", "tenant"}}


def differences(before: Record, after: Record) -> Sequence[tuple[str, str, str]]:
    """(field, before, after) of what is not the same, in JSON; an empty text for what is not told."""
    old, new = _flat(before), _flat(after)
    names = sorted(old.keys() | new.keys())
    return [(name, old.get(name, ""), new.get(name, "")) for name in names if old.get(name) != new.get(name)]


def correction_in(record: Record) -> Correction | None:
    return record.corrects if isinstance(record.corrects, Correction) else None


def _flat(record: Record) -> dict[str, str]:
    told: dict[str, Any] = msgspec.to_builtins(record)
    found = dict[str, str]()
    for name in FIELDS:
        value = told.get(name)
        if isinstance(value, dict):
            found |= {f"{name}.{part}": _text(each) for part, each in value.items()}
        elif value is not None:
            found[name] = _text(value)
    return found


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _set(told: dict[str, Any], setting: str) -> None:
    path, equals, value = setting.partition("=")
    name, dot, part = path.strip().partition(".")
    if not equals or name not in FIELDS or bool(dot) != (name in _WITH_PARTS) or (dot and not part):
        raise Unsuitable(f"{setting!r} sets nothing that can be corrected", hint=_HINT)
    value = value.strip()
    into = told.setdefault(name, {}) if part else told
    if not value:
        into.pop(part or name, None)
    else:
        into[part or name] = _amount(value) if name == "prices" else value
    if part and not into:
        del told[name]


def _amount(text: str) -> dict[str, Any]:
    """`1250EUR` or `1250 EUR`: an amount in minor units and its currency."""
    amount, currency = text[:-3].strip(), text[-3:]
    try:
        return {"amount": int(amount), "currency": currency}
    except ValueError:
        raise Unsuitable(
            f"{text!r} is no price", hint="minor units and the currency: 1250EUR is 12.50"
        ) from None

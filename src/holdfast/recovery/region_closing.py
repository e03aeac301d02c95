"""The actions that end a move: telling of it, reconciling the ledger, and measuring.

region.tell        an incident is open that says what happened   finds its id
region.reconcile   what of the ledger's entries is missing
region.measure     how long it took and what it cost, from what the steps found
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from holdfast.kernel.errors import HoldfastError
from holdfast.recovery.moving import UNKNOWN, PartsOf, asked
from holdfast.recovery.ports import Fence, Found
from holdfast.recovery.region_actions import of

SECONDS_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Telling:
    """One incident is open for this run. Given `title`, `body`, and what names it: `began`, `lost`."""

    parts: PartsOf
    wants = ("title", "body")
    finds = ("incident",)

    async def observe(self, given: Mapping[str, str]) -> Found | None:
        parts = of(self.parts, given)
        if parts.incidents is None:
            return {"incident": "nobody tells here"}
        found = await parts.incidents.opened(_name(given))
        return None if found is None else {"incident": found}

    async def act(self, given: Mapping[str, str], fence: Fence) -> None:
        parts = of(self.parts, given)
        del fence  # whoever opens it, and how often: it is one incident
        if parts.incidents is not None:
            title, body, began = asked(given, "title"), asked(given, "body"), _moment(given.get("began", ""))
            await parts.incidents.open(_name(given), parts.key, title, body, began)

    async def verify(self, given: Mapping[str, str]) -> Found:
        return await self.observe(given) or {"incident": UNKNOWN}


@dataclass(frozen=True, slots=True)
class Reconciling:
    """What was acknowledged of the ledger is compared with what is there. Says so, and changes nothing."""

    parts: PartsOf
    finds = ("lost_entries", "ledgers", "invariant.ledger")

    async def observe(self, given: Mapping[str, str]) -> Found | None:
        parts = of(self.parts, given)
        if parts.ledgers is None:
            return {"lost_entries": "0", "ledgers": "", "invariant.ledger": "holds"}
        return None

    async def act(self, given: Mapping[str, str], fence: Fence) -> None:
        """Looking is all."""

    async def verify(self, given: Mapping[str, str]) -> Found:
        parts = of(self.parts, given)
        if parts.ledgers is None:
            return {"lost_entries": "0", "ledgers": "", "invariant.ledger": "holds"}
        try:
            stands = await parts.ledgers.stands(parts.key)
        except HoldfastError as error:
            return {"lost_entries": UNKNOWN, "ledgers": UNKNOWN, "invariant.ledger": f"unknown: {error}"}
        told = {name: UNKNOWN if each.lost is None else str(each.lost) for name, each in stands.items()}
        lost = [each.lost for each in stands.values()]
        sure = [each for each in lost if each is not None]
        if len(sure) < len(lost):
            count, holds = UNKNOWN, "unknown: a log could not be asked"
        else:
            count = str(sum(sure))
            holds = f"fails: {count} acknowledged entries are missing" if sum(sure) else "holds"
        ledgers = ", ".join(f"{name}: {text} lost" for name, text in told.items())
        return {"lost_entries": count, "ledgers": ledgers, "invariant.ledger": holds}


@dataclass(frozen=True, slots=True)
class Measuring:
    """What the move took and cost, from what it is given: nothing of it is looked at again.

    `began`: when users were served last. `lost_since`, `started`, `fenced`, `promoted`, `written_at`: times,
    ISO 8601; what is missing makes its phase unknown. `nothing_lost`: yes, no or unknown. `bound_s`.
    """

    parts: PartsOf
    wants = ("written_at",)
    finds = ("what", "rto_s", "rpo_s", "loss", "corrective")

    async def observe(self, given: Mapping[str, str]) -> Found | None:
        parts = of(self.parts, given)
        began, written = _moment(given.get("began", "")), _moment(given.get("written_at", ""))
        since, started = _moment(given.get("lost_since", "")), _moment(given.get("started", ""))
        found = {
            "what": f"{parts.key}: region {given.get('lost', UNKNOWN)} -> {given.get('to', UNKNOWN)}",
            "rto_s": _between(began, written),
            "rpo_s": _rpo(given),
        }
        phases = {"detect": (began, since), "decide": (since, started), "cut-over": (started, written)}
        for name, (first, last) in phases.items():
            if first is not None and last is not None:
                found[f"phase.{name}"] = _between(first, last)
        for key in ("loss", "corrective", "lost_transactions"):
            if given.get(key):
                found[key] = given[key]
        if _rpo(given) == "0":
            found.setdefault("lost_transactions", "0")
        return found

    async def act(self, given: Mapping[str, str], fence: Fence) -> None:
        """There is nothing to do."""

    async def verify(self, given: Mapping[str, str]) -> Found:
        return await self.observe(given) or {}


def _name(given: Mapping[str, str]) -> str:
    """What one incident is of: the same for each attempt of a run."""
    return "\0".join((given["subject"], given.get("lost", ""), given.get("began", ""), given.get("to", "")))


def _rpo(given: Mapping[str, str]) -> str:
    if given.get("nothing_lost") == "yes":
        return "0"
    return given.get("bound_s") or UNKNOWN


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None


def _between(first: datetime | None, last: datetime | None) -> str:
    if first is None or last is None:
        return UNKNOWN
    return f"{max((last - first).total_seconds(), 0.0):.{SECONDS_SHOWN}f}"

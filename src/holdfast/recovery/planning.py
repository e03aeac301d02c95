"""What a move of a cluster would be, and what speaks against it, before a person begins it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from holdfast.recovery.deciding import CORRUPTION, INSTEAD
from holdfast.recovery.errors import StepFailed
from holdfast.recovery.loss import bound_lines
from holdfast.recovery.model import Did, Run, RunState
from holdfast.recovery.moving import Parts, bound_of, leader_in, standing_text, stands_of
from holdfast.recovery.outage import Standing, judged
from holdfast.recovery.region_ports import Told, lock_in, waits_for
from holdfast.recovery.region_return import against_switchover
from holdfast.recovery.watching import AUTOMATIC, GATED

PLAYBOOKS = {
    "switchover": "switchover",
    "failover": GATED,
    "failover --force": "failover-forced",
    "failback": "failback",
}
FAILOVERS = (AUTOMATIC, GATED, "failover-forced")


@dataclass(frozen=True, slots=True)
class Planned:
    """`against`: what speaks against it now. `loss`: what could be lost at most, for people."""

    playbook: str
    lost: str
    to: str
    seen: Sequence[str]
    against: Sequence[str]
    loss: Sequence[str]
    given: Mapping[str, str]
    instead: str = ""
    """What would help, where this would not."""


async def planned(parts: Parts, move: str) -> Planned:
    """Of `move`, a key of PLAYBOOKS. Looks at everything, and changes nothing."""
    look, told = await parts.looked()
    regions = {each: judged(look, each) for each in parts.regions}
    lost = await _left(parts, told)
    to = parts.other(lost)
    match move:
        case "switchover":
            against = await against_switchover(parts, lost, to)
        case "failback":
            against = _against_failback(parts, told, lost, to)
        case "failover":
            standing = regions[lost]
            against = [] if standing.standing is Standing.LOST else [standing_text(standing)]
        case _:
            against = _against_forcing(told, lost, to)
    instead = ""
    if move.startswith("failover") and (damage := await parts.damage()):
        against, instead = [f"{CORRUPTION} ({'; '.join(damage)})", *against], INSTEAD
    loss = list[str]()
    if move.startswith("failover"):
        loss += bound_lines(bound_of(told, lost, to, look.at, ledgers=await stands_of(parts)))
    at = look.at.isoformat()
    given = {"lost": lost, "to": to}
    if move.startswith("failover"):
        lock = lock_in(told)
        waited = waits_for(told, to) if lock is not None and lock.region == lost else None
        given |= {"waited": {True: "yes", False: "no", None: "unknown"}[waited]}
        given |= {"began": at, "lost_since": at, "started": at, "why": f"{move}: a person said so"}
    seen = [standing_text(each) for each in regions.values()]
    return Planned(PLAYBOOKS[move], lost, to, seen, against, loss, given, instead)


def waited_in(runs: Sequence[Run], cluster: str) -> str:
    """Whether commits waited for the other region at the cluster's last failover: yes, no or unknown."""
    for run in runs:  # the newest first
        if run.subject == cluster and run.playbook.name in FAILOVERS and run.state is RunState.DONE:
            record = run.records.get("confirm")
            if record is not None and record.did is Did.DONE:
                return record.found.get("nothing_acknowledged_lost", "unknown")
    return "unknown"


async def _left(parts: Parts, told: Mapping[str, Told]) -> str:
    """The region where the cluster works now: where users are sent, else where the database leads."""
    if parts.names is not None:
        try:
            found = await parts.names.pointing()
        except StepFailed:
            found = None
        if found is not None:
            return found
    for region, edge in parts.edges.items():
        try:
            found = (await edge.pointing()).to
        except StepFailed:
            continue
        if found is not None and region == found:
            return found
    lock = lock_in(told)
    if lock is not None and lock.region is not None and lock.region in parts.regions:
        return lock.region
    return parts.primary


def _against_failback(parts: Parts, told: Mapping[str, Told], lost: str, to: str) -> list[str]:
    found = list[str]()
    if to != parts.primary:
        found.append(f"the cluster works in {lost}, where it belongs")
    if leader_in(told, lost) is None:
        found.append(f"no member of the database leads in {lost}")
    if to not in told:
        found.append(f"nothing of the database answers in {to}: heal the region first")
    return found


def _against_forcing(told: Mapping[str, Told], lost: str, to: str) -> list[str]:
    found = list[str]()
    if leader_in(told, lost) is not None:
        found.append(f"the database leads in {lost}, and answers: holdfast switchover loses nothing")
    place = told.get(to)
    own = None if place is None else place.own()
    if own is None or not own.running:
        found.append(f"no PostgreSQL answers and runs in {to}")
    return found

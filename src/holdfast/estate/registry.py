"""Which component is which: the file's keys against the ids under which history is kept. Pure decisions.

A component is known by its cluster's key and its own. `was:` on either carries the id over to a new key:

1. A claim (`was`) acts once, when it first appears in the file; from then on it is part of the row
   (`formerly`) and may stay in the file or leave it. So the same file twice changes nothing, and two
   components that change names with `was` on both do it once.
2. A new claim comes before the key itself: `a` with `was: [b]` is what was called b, even when an a is known.
   Of several claims the first that is known counts, what lives before what was removed.
3. Without a new claim a component is the one that has its key: alive, else removed last, which is revived.
4. A key that nobody has, but that a row without a place in the file came from, gets that row back: undoing
   a rename in the file undoes it here.
5. What the file no longer names is removed: marked, never deleted, and its key is free.

Checks are the same within their component. Ids are given by the database; what is new carries none.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Literal, Protocol, TypeAlias, TypeVar

from holdfast.estate.model import Cluster, Component, Estate
from holdfast.estate.ports import CheckId, ComponentId, ComponentIdentity, probe_key

_Key = TypeVar("_Key")
_Key_co = TypeVar("_Key_co", covariant=True)
_New = TypeVar("_New")
_Kept = TypeVar("_Kept")
_Gone = TypeVar("_Gone")
_Kind: TypeAlias = Literal["revive", "rename", "update", "unchanged"]


@dataclass(frozen=True, slots=True)
class ComponentRow:
    """A component as the database knows it. `formerly`: the claims of the file that was applied last."""

    id: ComponentId
    cluster_key: str
    key: str
    name: str
    removed_at: datetime | None = None
    formerly: tuple[ComponentIdentity, ...] = ()

    @property
    def identity(self) -> ComponentIdentity:
        return self.cluster_key, self.key


@dataclass(frozen=True, slots=True)
class CheckRow:
    """A check as the database knows it."""

    id: CheckId
    component_id: ComponentId
    key: str
    removed_at: datetime | None = None
    formerly: tuple[str, ...] = ()

    @property
    def identity(self) -> str:
        return self.key


@dataclass(frozen=True, slots=True)
class Known:
    """Everything that was ever declared. No two rows that live share a key."""

    components: Sequence[ComponentRow] = ()
    checks: Sequence[CheckRow] = ()


@dataclass(frozen=True, slots=True)
class NewComponent:
    identity: ComponentIdentity
    name: str
    formerly: tuple[ComponentIdentity, ...]


@dataclass(frozen=True, slots=True)
class KeptComponent:
    """The row `id`, which was called `before`, as it is to be."""

    id: ComponentId
    before: ComponentIdentity
    identity: ComponentIdentity
    name: str
    formerly: tuple[ComponentIdentity, ...]


@dataclass(frozen=True, slots=True)
class GoneComponent:
    id: ComponentId
    identity: ComponentIdentity


@dataclass(frozen=True, slots=True)
class NewCheck:
    component: ComponentIdentity
    key: str
    formerly: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KeptCheck:
    """The row `id`, which was called `before`, as it is to be. It stays in its component's row."""

    id: CheckId
    component: ComponentIdentity
    before: str
    key: str
    formerly: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GoneCheck:
    id: CheckId
    component: ComponentIdentity
    key: str


@dataclass(frozen=True, slots=True)
class Changes(Generic[_New, _Kept, _Gone]):
    """What is to be done. Every known row is in exactly one of these, or was removed and stays so."""

    add: tuple[_New, ...] = ()
    rename: tuple[_Kept, ...] = ()
    """Alive under another key."""
    revive: tuple[_Kept, ...] = ()
    """Removed, and back, under its old key or another one."""
    update: tuple[_Kept, ...] = ()
    """The same key, with another name or other claims."""
    remove: tuple[_Gone, ...] = ()
    unchanged: tuple[_Kept, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not (self.add or self.rename or self.revive or self.update or self.remove)


ComponentChanges: TypeAlias = Changes[NewComponent, KeptComponent, GoneComponent]
CheckChanges: TypeAlias = Changes[NewCheck, KeptCheck, GoneCheck]


@dataclass(frozen=True, slots=True)
class Plan:
    """How to bring what is known in line with the file.

    To apply it in one transaction under a constraint "one living row per key": mark `remove` as removed, mark
    `rename` as removed too (their keys may be changing hands), then write `rename`, `revive` and `update` as
    they are to be, alive, then `add`; components first, checks after them.
    """

    components: ComponentChanges
    checks: CheckChanges

    @property
    def is_empty(self) -> bool:
        return self.components.is_empty and self.checks.is_empty


def plan(known: Known, estate: Estate) -> Plan:
    """What has to change so that what is known is what `estate` declares; empty when nothing has to."""
    wanted = {
        (cluster_key, key): component
        for cluster_key, cluster in estate.clusters.items()
        for key, component in cluster.components.items()
    }
    alive = {row.identity: row for row in known.components if row.removed_at is None}
    claims = {
        identity: _component_claims(identity, estate.clusters[identity[0]], component, alive)
        for identity, component in wanted.items()
    }
    by_id = {row.id: row for row in known.components}
    rows = {identity: by_id[row_id] for identity, row_id in _match(claims, known.components).items()}
    return Plan(_component_changes(known, rows, wanted, claims), _check_changes(known, rows, wanted))


def plan_text(changes: Plan) -> str:
    """The plan for people, a line for each change; what stays as it is goes unsaid."""
    lines = [f"+ {_slash(new.identity)}" for new in changes.components.add]
    lines += [
        f"> {_slash(kept.before)} becomes {_slash(kept.identity)}" for kept in changes.components.rename
    ]
    lines += [
        f"< {_revived(_slash(kept.before), _slash(kept.identity))}" for kept in changes.components.revive
    ]
    lines += [f"~ {_slash(kept.identity)}: {kept.name}" for kept in changes.components.update]
    lines += [f"- {_slash(gone.identity)} (its history is kept)" for gone in changes.components.remove]
    fresh = {new.identity for new in changes.components.add}
    left = {gone.identity for gone in changes.components.remove}
    for new_check in changes.checks.add:
        if new_check.component not in fresh:
            lines.append(f"+ {_slash(new_check.component)}: check {new_check.key}")
    for kept_check in changes.checks.rename:
        lines.append(f"> {_slash(kept_check.component)}: check {kept_check.before} becomes {kept_check.key}")
    for kept_check in changes.checks.revive:
        lines.append(f"< {_slash(kept_check.component)}: check {_revived(kept_check.before, kept_check.key)}")
    for gone_check in changes.checks.remove:
        if gone_check.component not in left:
            lines.append(f"- {_slash(gone_check.component)}: check {gone_check.key} (its history is kept)")
    return "\n".join(lines) if lines else "nothing changes"


class _Row(Protocol[_Key_co]):
    """What a component's row and a check's row have in common."""

    @property
    def id(self) -> int: ...
    @property
    def identity(self) -> _Key_co: ...
    @property
    def removed_at(self) -> datetime | None: ...
    @property
    def formerly(self) -> tuple[_Key_co, ...]: ...


def _match(claims: Mapping[_Key, tuple[_Key, ...]], rows: Sequence[_Row[_Key]]) -> dict[_Key, int]:
    """The row of each declared key that has one, by the rules on top, in order. No row goes to two keys."""
    alive = {row.identity: row for row in rows if row.removed_at is None}
    removed = {row.identity: row for row in _oldest_removal_first(rows)}
    came_from: dict[_Key, list[_Row[_Key]]] = {}
    for row in (*alive.values(), *reversed(_oldest_removal_first(rows))):
        for former in row.formerly:
            came_from.setdefault(former, []).append(row)

    def newly_claimed(key: _Key) -> Iterator[_Row[_Key]]:
        own = alive.get(key) or removed.get(key)
        fresh = [claim for claim in claims[key] if own is None or claim not in own.formerly]
        yield from (alive[claim] for claim in fresh if claim in alive)
        yield from (removed[claim] for claim in fresh if claim in removed)

    found: dict[_Key, int] = {}
    taken: set[int] = set()
    # One rule for all keys before the next rule: what one key is sure of, another must not guess at.
    for candidates in (
        newly_claimed,
        lambda key: filter(None, [alive.get(key)]),
        lambda key: filter(None, [removed.get(key)]),
        lambda key: iter(came_from.get(key, ())),
    ):
        for key in claims:
            if key in found:
                continue
            row_id = next((row.id for row in candidates(key) if row.id not in taken), None)
            if row_id is not None:
                found[key] = row_id
                taken.add(row_id)
    return found


def _oldest_removal_first(rows: Sequence[_Row[_Key]]) -> list[_Row[_Key]]:
    removals = [(row.removed_at, row.id, row) for row in rows if row.removed_at is not None]
    return [row for _, _, row in sorted(removals, key=lambda removal: removal[:2])]


def _component_claims(
    identity: ComponentIdentity,
    cluster: Cluster,
    component: Component,
    alive: Mapping[ComponentIdentity, ComponentRow],
) -> tuple[ComponentIdentity, ...]:
    """All that `was:` on the component and on its cluster says, the likeliest first."""
    cluster_key, key = identity
    claims = [(cluster_key, former) for former in component.was]
    for former_cluster in cluster.was:
        renamed = [(former_cluster, former) for former in component.was]
        there = alive.get((former_cluster, key))
        # Renamed within the former cluster already: then it had its present key there.
        acted = there is not None and all(claim in there.formerly for claim in renamed)
        same = [(former_cluster, key)]
        claims += same + renamed if acted else renamed + same
    return tuple(dict.fromkeys(claims))


def _component_changes(
    known: Known,
    rows: Mapping[ComponentIdentity, ComponentRow],
    wanted: Mapping[ComponentIdentity, Component],
    claims: Mapping[ComponentIdentity, tuple[ComponentIdentity, ...]],
) -> ComponentChanges:
    add: list[NewComponent] = []
    kept: list[tuple[_Kind, KeptComponent]] = []
    for identity, component in wanted.items():
        row = rows.get(identity)
        if row is None:
            add.append(NewComponent(identity, component.name, claims[identity]))
        else:
            kind = _kind(row, identity, claims[identity], same_name=row.name == component.name)
            after = KeptComponent(row.id, row.identity, identity, component.name, claims[identity])
            kept.append((kind, after))
    stays = {row.id for row in rows.values()}
    gone = [row for row in known.components if row.removed_at is None and row.id not in stays]
    return _changes(add, kept, [GoneComponent(row.id, row.identity) for row in gone])


def _check_changes(
    known: Known,
    rows: Mapping[ComponentIdentity, ComponentRow],
    wanted: Mapping[ComponentIdentity, Component],
) -> CheckChanges:
    by_component: dict[ComponentId, list[CheckRow]] = {}
    for check in known.checks:
        by_component.setdefault(check.component_id, []).append(check)
    add: list[NewCheck] = []
    kept: list[tuple[_Kind, KeptCheck]] = []
    stays: set[CheckId] = set()
    for identity, component in wanted.items():
        row = rows.get(identity)
        known_here = {check.id: check for check in by_component.get(row.id, ())} if row else {}
        claims = {
            probe_key(key, vantage): tuple(probe_key(former, vantage) for former in check.was)
            for key, check in component.checks.items()
            for vantage in check.seen_from
        }
        found = _match(claims, list(known_here.values()))
        stays.update(found.values())
        for key, formerly in claims.items():
            if key not in found:
                add.append(NewCheck(identity, key, formerly))
                continue
            before = known_here[found[key]]
            after = KeptCheck(before.id, identity, before.key, key, formerly)
            kept.append((_kind(before, key, formerly, same_name=True), after))
    gone = [check for check in known.checks if check.removed_at is None and check.id not in stays]
    # A check is named by what its component is called from now on; a component that goes keeps its name.
    names = {row.id: row.identity for row in known.components} | {row.id: key for key, row in rows.items()}
    return _changes(add, kept, [GoneCheck(check.id, names[check.component_id], check.key) for check in gone])


def _kind(row: _Row[_Key], key: _Key, formerly: tuple[_Key, ...], *, same_name: bool) -> _Kind:
    if row.removed_at is not None:
        return "revive"
    if row.identity != key:
        return "rename"
    return "unchanged" if same_name and set(row.formerly) == set(formerly) else "update"


def _changes(
    add: Sequence[_New], kept: Sequence[tuple[_Kind, _Kept]], gone: Sequence[_Gone]
) -> Changes[_New, _Kept, _Gone]:
    def of(kind: _Kind) -> tuple[_Kept, ...]:
        return tuple(change for its_kind, change in kept if its_kind == kind)

    return Changes(
        add=tuple(add),
        rename=of("rename"),
        revive=of("revive"),
        update=of("update"),
        remove=tuple(gone),
        unchanged=of("unchanged"),
    )


def _slash(identity: ComponentIdentity) -> str:
    return "/".join(identity)


def _revived(before: str, now: str) -> str:
    return f"{now} is back" if before == now else f"{now} is back (it was {before})"

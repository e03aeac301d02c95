"""Whoever may write to a store and has no key forges nothing: no backup, no mark, no history, no WAL."""

import hashlib
import hmac
import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from tests import held
from tests.held import DB, at
from tests.proven import put_backup, put_history, put_wal

from holdfast.adapters.memory.regions import MemoryRegion
from holdfast.adapters.packing.authentic import AuthenticRegion
from holdfast.backup import layout
from holdfast.backup.copies.copying import Copier, lacking
from holdfast.backup.copies.scrubbing import Scrubber
from holdfast.backup.errors import AlreadyThere, Damaged, KeyMissing
from holdfast.backup.model import Holdings, Suspicion
from holdfast.backup.ports import Region
from holdfast.backup.records import encoded
from holdfast.backup.recoverable import marks
from holdfast.backup.recoverable.holdings import holdings_of
from holdfast.backup.recoverable.lines import ancestors_of
from holdfast.backup.take.taking import Silent
from holdfast.estate.backup import Keep
from holdfast.kernel.clock import ManualClock

OLD, NEW = {"old": bytes(range(32))}, {"new": bytes(range(1, 33))}
CLOCK = ManualClock(at(10))
SUSPICION = Suspicion("a", at(1), at(2), "half of it is gone")


class Store:
    """A store, as the estate's own see it, and as an intruder does, who has every right there."""

    def __init__(self, name: str = "eu") -> None:
        self.intruder = MemoryRegion(name)
        self.ours = AuthenticRegion(self.intruder, {**OLD, **NEW}, "new")

    def fill(self) -> "Store":
        self.backup = put_backup([self.ours], 1)
        self.pieces = [put_wal([self.ours], hour, sealed_with="new") for hour in range(3)]
        self.history = put_history([self.ours], held.history(2, (1, 3.5)))
        marks.tell([self.ours], DB, SUSPICION)
        return self

    @property
    def held(self) -> Holdings:
        return held_in(self.ours)

    @property
    def record(self) -> str:
        return layout.record_key(DB, self.backup.id)

    def below(self, prefix: str) -> list[str]:
        return [key for key in self.intruder.keys if key.startswith(prefix)]


@pytest.fixture
def store() -> Store:
    return Store().fill()


def held_in(region: Region) -> Holdings:
    return holdings_of(region, DB, CLOCK)


def test_what_was_vouched_for_is_all_there(store: Store) -> None:
    plain = MemoryRegion("eu")
    put_backup([plain], 1)
    for hour in range(3):
        put_wal([plain], hour, sealed_with="new")
    put_history([plain], held.history(2, (1, 3.5)))
    marks.tell([plain], DB, SUSPICION)
    assert store.held == held_in(plain)
    assert not store.held.unreadable


def test_anybody_can_read_a_record_and_postgresql_a_history(store: Store) -> None:
    lines = store.intruder.get(store.record).split(b"\n")
    assert json.loads(lines[0])["id"] == store.backup.id
    assert all(json.loads(line) for line in lines if line)
    text = store.intruder.get(store.history).decode()
    assert text.rstrip("\n").splitlines()[-1].startswith("# hmac-sha256:new:")
    held_before = ancestors_of(store.held.histories[0])
    assert ancestors_of(replace(store.held.histories[0], text=text)) == held_before


def test_a_tag_is_what_the_docstring_says(store: Store) -> None:
    content, _, line = store.intruder.get(store.record).removesuffix(b"\n").rpartition(b"\n")
    key = hmac.digest(NEW["new"], b"holdfast backup record\x01", hashlib.sha256)
    tag = hmac.digest(key, store.record.encode() + b"\0" + content, hashlib.sha256)
    assert json.loads(line) == f"hmac-sha256:new:{tag.hex()}"


def test_a_record_that_nobody_vouched_for_is_no_backup(store: Store) -> None:
    theirs = put_backup([store.intruder], 2)
    key = layout.record_key(DB, theirs.id)
    assert [each.id for each in store.held.backups] == [store.backup.id]
    assert store.held.unreadable == (key,)
    with pytest.raises(Damaged, match="not vouched for") as caught:
        store.ours.get(key)
    assert "who else" in caught.value.hint


def test_a_tag_made_with_another_key_is_none(store: Store) -> None:
    theirs = AuthenticRegion(store.intruder, {"new": bytes(32)}, "new")
    put_backup([theirs], 2)
    assert len(store.held.backups) == 1
    assert len(store.held.unreadable) == 1


@pytest.mark.parametrize("elsewhere", ["shop/backups/20270101T000000Z-aaaaaa/backup.json", "x/a.json"])
def test_a_record_does_not_count_at_another_place(store: Store, elsewhere: str) -> None:
    store.intruder.put(elsewhere, store.intruder.get(store.record))
    with pytest.raises(Damaged, match="not what the key `new` vouched for"):
        store.ours.get(elsewhere)
    assert len(store.held.backups) == 1


def test_a_mark_played_back_under_another_name_lifts_nothing(store: Store) -> None:
    (mark,) = store.below(layout.marks_prefix(DB))
    lifting = marks.mark_key(DB, replace(SUSPICION, lifted_at=at(3), lifted_by="nobody"))
    store.intruder.put(lifting, store.intruder.get(mark))
    theirs = replace(SUSPICION, lifted_at=at(3), lifted_by="an intruder")
    store.intruder.put(lifting.replace("-lifted", "-2"), encoded(theirs))
    assert store.held.suspects == (SUSPICION,)
    assert len(store.held.unreadable) == 2


def test_cut_off_or_altered_anywhere_it_is_damaged(store: Store) -> None:
    stored = store.intruder.get(store.record)
    altered = [stored[:size] for size in range(len(stored))]
    altered += [stored[:at] + bytes([stored[at] ^ 1]) + stored[at + 1 :] for at in range(0, len(stored), 3)]
    altered += [stored + b"\n", stored + stored, stored + b'"x"\n', b"\n" + stored]
    for content in altered:
        store.intruder.replace(store.record, content)
        with pytest.raises(Damaged):
            store.ours.get(store.record)
    store.intruder.replace(store.record, stored)
    assert store.held.backups


def test_what_an_older_key_vouched_for_counts_as_long_as_it_is_declared() -> None:
    store = Store()
    before = AuthenticRegion(store.intruder, OLD, "old")
    full = put_backup([before], 1)
    put_wal([before], 0, sealed_with="old")
    put_wal([store.ours], 1, sealed_with="new")
    assert [each.id for each in store.held.backups] == [full.id]
    assert len(store.held.wal) == 2
    assert not store.held.unreadable
    without = AuthenticRegion(store.intruder, NEW, "new")
    with pytest.raises(Damaged, match="names the key `old`, which is not declared") as caught:
        without.get(layout.record_key(DB, full.id))
    assert "encryption.keys.old" in caught.value.hint
    assert len(held_in(without).wal) == 1


FORGERIES = {
    "never sealed": lambda key: key.replace(".zst.new.aes", ".zst"),
    "without a tag": lambda key: key,
    "with another tag": lambda key: key.replace(".zst", f".{'0' * 32}.zst"),
    "of a key that is not declared": lambda key: key.replace(".zst.new", f".{'0' * 32}.zst.other"),
}


@pytest.mark.parametrize("how", FORGERIES)
def test_wal_that_nobody_vouched_for_is_none(store: Store, how: str) -> None:
    piece = put_wal([MemoryRegion("elsewhere")], 7, sealed_with="new")
    key = FORGERIES[how](piece.key)
    store.intruder.put(key, b"not ours")
    assert store.held.wal == tuple(store.pieces)
    assert store.held.unreadable == (f"{key}.forged",)
    store.ours.delete([f"{key}.forged"])
    assert not store.held.unreadable


def test_wal_moved_to_another_place_or_time_is_none(store: Store) -> None:
    first, second = (each.segment.name for each in store.pieces[:2])
    (key,) = store.below(f"{DB}/wal/00000001/{first}")
    content = store.intruder.get(key)
    moved = key.replace(first, second)
    later = key.replace("-x-", "-1767999999000000-")
    assert key not in (moved, later)
    for each in (moved, later):
        store.intruder.put(each, content)
    assert store.held.wal == tuple(store.pieces)
    assert len(store.held.unreadable) == 2


def test_a_piece_is_found_by_its_own_key(store: Store) -> None:
    piece = store.pieces[0]
    assert piece.key not in store.intruder.keys
    assert store.ours.get(piece.key, 3, 9) == store.ours.get(piece.key)[3:9]
    assert [each.key for each in store.ours.listed(piece.key)] == [piece.key]
    behind = [each.key for each in store.ours.listed(layout.wal_prefix(DB), after=piece.key)]
    assert behind == [each.key for each in store.pieces[1:]]
    with pytest.raises(AlreadyThere):
        store.ours.put(piece.key, b"again")
    store.ours.replace(piece.key, b"again")
    assert store.ours.get(piece.key) == b"again"
    store.ours.delete([piece.key])
    with pytest.raises(FileNotFoundError):
        store.ours.get(piece.key)


def test_the_longest_name_that_a_piece_may_have_is_kept_by_every_store() -> None:
    name = "k" * 63
    region = AuthenticRegion(MemoryRegion("eu"), {name: bytes(32)}, name)
    assert [put_wal([region], 0, sealed_with=name)] == list(held_in(region).wal)


def test_locks_reach_what_is_stored() -> None:
    inner = MemoryRegion("eu", locks=True)
    region = AuthenticRegion(inner, NEW, "new")
    piece = put_wal([region], 0, sealed_with="new")
    until = datetime(2027, 1, 1, tzinfo=UTC)
    assert region.lock(piece.key, until)
    assert region.locked_until(piece.key) == region.kept_until(piece.key) == until
    assert [inner.locked_until(key) for key in inner.keys] == [until]


def test_another_region_gets_it_vouched_for(store: Store) -> None:
    other = Store("us")
    plan = lacking(store.held, other.held, Keep(), CLOCK.now())
    assert Copier(store.ours, other.ours, Silent()).copy(plan).complete
    assert replace(other.held, region="eu") == store.held


def test_what_was_forged_is_healed_from_another_region(store: Store) -> None:
    other = Store("us").fill()
    store.intruder.replace(store.record, encoded(replace(store.backup, stop_lsn=store.backup.start_lsn)))
    done = Scrubber(store.ours, [other.ours], CLOCK, Silent()).scrub(DB, heal=True)
    assert [(each.key, each.healed_from) for each in done.harmed] == [(store.record, "us")]
    assert store.held.backups == (store.backup,)


def test_a_forged_piece_of_wal_is_told_and_not_spread(store: Store) -> None:
    other = Store("us").fill()
    key = put_wal([store.intruder], 7).key
    done = Scrubber(store.ours, [other.ours], CLOCK, Silent()).scrub(DB, heal=True)
    assert [(each.key, bool(each.why_not)) for each in done.standing] == [(f"{key}.forged", True)]
    assert not lacking(store.held, other.held, Keep(), CLOCK.now()).wal


def test_what_was_stored_before_there_was_a_key_is_believed_when_that_is_declared(store: Store) -> None:
    before = put_backup([store.intruder], 2)
    put_wal([store.intruder], 7)
    forged = put_wal([store.intruder], 8, sealed_with="new")
    region = AuthenticRegion(store.intruder, NEW, "new", believes_unsealed=True)
    assert [each.id for each in held_in(region).backups] == [store.backup.id, before.id]
    assert len(held_in(region).wal) == len(store.pieces) + 1
    assert held_in(region).unreadable == (f"{forged.key}.forged",)


def test_without_any_key_all_is_read_and_nothing_proven(store: Store) -> None:
    anybody = AuthenticRegion(store.intruder, {})
    assert held_in(anybody) == store.held
    assert anybody.get(store.pieces[1].key) == store.ours.get(store.pieces[1].key)
    anybody.put("shop/x.json", b"{}")
    assert store.intruder.get("shop/x.json") == b"{}"


def test_a_key_that_is_not_there_cannot_vouch() -> None:
    with pytest.raises(KeyMissing, match="`newest`"):
        AuthenticRegion(MemoryRegion("eu"), NEW, "newest")


def test_no_key_shows(store: Store) -> None:
    assert not any(
        each in repr(vars(store.ours)).encode() for each in _spellings([*OLD.values(), *NEW.values()])
    )


def _spellings(keys: Iterable[bytes]) -> list[bytes]:
    return [spelt for key in keys for spelt in (key, key.hex().encode(), repr(key).encode()[2:-1])]

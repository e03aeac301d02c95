"""A region is read and proven, and healed from another."""

from dataclasses import replace
from datetime import timedelta

import pytest
from tests import held
from tests.held import DB, at
from tests.proven import contents, put_backup, put_dump, put_history, put_wal

from holdfast.adapters.memory.regions import MemoryRegion
from holdfast.backup import layout
from holdfast.backup.copies.scrubbing import Harm, Scrubbed, Scrubber, sampled
from holdfast.backup.errors import Damaged, RegionAway
from holdfast.backup.model import Suspicion, Target
from holdfast.backup.records import decoded_backup, encoded
from holdfast.backup.recoverable.holdings import holdings_of
from holdfast.backup.recoverable.marks import mark_key, tell
from holdfast.backup.take.taking import Silent
from holdfast.backup.verify.verification import (
    Standing,
    Verification,
    keep,
    verification_key,
    verifications_in,
)
from holdfast.backup.verify.verified_points import Which
from holdfast.kernel.clock import ManualClock

CLOCK = ManualClock(at(100))
VERIFIED = Verification(
    "20260101T000000Z-aaaaaa", DB, "eu", Which.NEWEST, Target(), None, at(7), at(8), Standing.PASSED
)
SUSPICION = Suspicion("one", at(2), at(3), "many deletes")


def filled() -> tuple[MemoryRegion, MemoryRegion]:
    both = MemoryRegion("eu", locks=True, clock=CLOCK), MemoryRegion("us", clock=CLOCK)
    full = put_backup(both, 1)
    put_backup(both, 2, full)
    for hour in range(4):
        put_wal(both, hour)
    put_history(both, held.history(2, (1, 5)))
    tell(both, DB, SUSPICION)
    put_dump(both, 6)
    keep(both, VERIFIED)
    return both


def scrubbed(region: MemoryRegion, *others: MemoryRegion, heal: bool = False, share: float = 1.0) -> Scrubbed:
    return Scrubber(region, others, CLOCK, Silent()).scrub(DB, share=share, heal=heal)


def test_what_is_as_it_was_stored_is_left_alone() -> None:
    eu, us = filled()
    before = contents(eu)
    result = scrubbed(eu, us, heal=True)
    assert result.harmed == ()
    assert (result.region, result.known, result.read) == ("eu", 18, 18)
    assert result.read_bytes == sum(len(before[key]) for key in before if layout.digest_of(key))
    assert contents(eu) == before
    assert not [key for what, key in eu.calls if what == "replace"]


ALL = filled()[0].keys


@pytest.mark.parametrize("key", ALL)
def test_a_flipped_bit_in_any_object_is_found_and_healed(key: str) -> None:
    eu, us = filled()
    for at_ in (0, len(eu.get(key)) // 2, -1):
        eu.damage(key, at_)
        (found,) = scrubbed(eu, us).harmed
        assert (found.key, found.harm, found.healed_from) == (key, Harm.DAMAGED, "")
        (found,) = scrubbed(eu, us, heal=True).harmed
        assert (found.key, found.healed_from, found.why_not) == (key, "us", "")
        assert contents(eu) == contents(us)
        assert scrubbed(eu).harmed == ()


@pytest.mark.parametrize("key", [key for key in ALL if "/backups/" in key and not key.endswith(".json")])
def test_what_a_record_names_and_is_gone_is_found_and_healed(key: str) -> None:
    eu, us = filled()
    eu.lose(key)
    (found,) = scrubbed(eu, share=0.0).harmed
    assert (found.key, found.harm) == (key, Harm.MISSING)
    assert found.healed_from == ""
    result = scrubbed(eu, us, heal=True)
    assert [each.healed_from for each in result.harmed] == ["us"]
    assert result.standing == ()
    assert contents(eu) == contents(us)


def test_it_is_healed_from_whichever_region_has_it_unharmed() -> None:
    eu, us = filled()
    asia, away, empty = filled()[1], filled()[1], MemoryRegion("empty")
    asia.name = "asia"
    away.faults.away = True
    key = eu.keys[0]
    eu.damage(key)
    us.damage(key, 3)
    (found,) = scrubbed(eu, away, empty, us, asia, heal=True).harmed
    assert found.healed_from == "asia"
    assert eu.get(key) == asia.get(key)


def test_where_nobody_has_it_unharmed_nothing_is_written() -> None:
    eu, us = filled()
    key = eu.keys[0]
    eu.damage(key)
    us.damage(key)
    before = eu.get(key)
    (found,) = scrubbed(eu, us, heal=True).standing
    assert found.why_not == "no other region has it unharmed"
    assert eu.get(key) == before


def test_a_region_that_corrupts_what_it_is_given_is_not_called_healed() -> None:
    eu, us = filled()
    eu.damage(eu.keys[0])
    eu.faults.corrupting = True
    (found,) = scrubbed(eu, us, heal=True).standing
    assert "does not keep what is put there" in found.why_not
    eu.faults.corrupting, eu.faults.full = False, True
    (found,) = scrubbed(eu, us, heal=True).standing
    assert "space" in found.why_not


def test_what_was_locked_is_locked_again_when_it_is_healed() -> None:
    eu, us = filled()
    key, until = eu.keys[0], at(100) + timedelta(days=30)
    eu.lock(key, until)
    eu.damage(key)
    scrubbed(eu, us, heal=True)
    assert eu.locked_until(key) == until


def test_a_region_that_is_away_is_said_so() -> None:
    eu, _ = filled()
    eu.faults.away = True
    with pytest.raises(RegionAway):
        scrubbed(eu)


def test_what_is_not_of_backups_is_not_read() -> None:
    eu, us = filled()
    eu.put("shop/notes.txt", b"somebody's own")
    eu.put("shop2/backups/x/a0/000000-" + "0" * 64 + ".zst", b"another's")
    assert scrubbed(eu, us).harmed == ()


@pytest.mark.parametrize("share", [0.1, 0.25, 0.3, 0.5])
def test_turn_by_turn_every_object_is_read(share: float) -> None:
    keys = [f"shop/wal/{number}" for number in range(500)]
    turns = -(-1 // share)
    for first in (0, 739_000):
        seen = [key for turn in range(first, first + int(turns)) for key in keys if sampled(key, share, turn)]
        assert set(seen) == set(keys)
        assert len(seen) <= len(keys) * 1.35
    assert all(sampled(key, 1.0, 5) for key in keys)
    assert not any(sampled(key, 0.0, 5) for key in keys)


def test_a_record_that_reads_well_and_was_altered_does_not_decode() -> None:
    eu, _ = filled()
    (backup, *_) = holdings_of(eu, DB, CLOCK).backups
    key = layout.record_key(DB, backup.id)
    other = encoded(replace(backup, stop_lsn=backup.stop_lsn))
    line, digest, _ = other.split(b"\n")
    assert decoded_backup(other, key) == backup
    digit = line.index(b'"stop_lsn":') + len(b'"stop_lsn":')
    altered = line[:digit] + (b"1" if line[digit : digit + 1] != b"1" else b"2") + line[digit + 1 :]
    for content in (altered + b"\n" + digest + b"\n", line, line + b"\n", line + b"\n" + digest):
        with pytest.raises(Damaged):
            decoded_backup(content, key)


def test_marks_are_healed_too() -> None:
    eu, us = filled()
    eu.damage(mark_key(DB, SUSPICION))
    assert scrubbed(eu, us, heal=True).standing == ()
    assert holdings_of(eu, DB, CLOCK).suspects == (SUSPICION,)


def test_a_record_of_a_verification_that_is_gone_comes_from_another_region() -> None:
    eu, us = filled()
    key = verification_key(VERIFIED)
    eu.delete([key])
    (found,) = scrubbed(eu, us, heal=True).harmed
    assert (found.key, found.harm, found.healed_from) == (key, Harm.MISSING, "us")
    assert verifications_in(eu, DB) == [VERIFIED]
    assert scrubbed(eu, us).harmed == ()


def test_a_record_that_is_too_old_to_be_kept_is_not_brought_back() -> None:
    eu, us = filled()
    many = [replace(VERIFIED, id=f"20270101T{n // 60:06d}Z-aaaa{n % 60:02d}") for n in range(1000)]
    for each in many:
        keep([eu, us], each)
    eu.delete([verification_key(VERIFIED)])
    much_later = ManualClock(at(24 * 500))
    assert Scrubber(eu, [us], much_later, Silent()).scrub(DB).harmed == ()

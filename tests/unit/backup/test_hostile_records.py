"""What somebody else wrote into a region's store: it is named, and nothing trips over it."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from tests.held import DB, HOUR, at, backup, holdings, wal
from tests.stored_held import stored

from holdfast.adapters.memory.regions import MemoryRegion
from holdfast.backup import layout
from holdfast.backup.errors import Damaged
from holdfast.backup.index import decoded_index, encoded_index
from holdfast.backup.logical.held import logical_backups
from holdfast.backup.model import Backup, Member, Suspicion, Target
from holdfast.backup.records import decoded_backup, encoded
from holdfast.backup.recoverable.holdings import holdings_of
from holdfast.backup.restore.journal import JOURNAL, MARKER
from holdfast.backup.restore.placing import assembled, chunks_to_fetch
from holdfast.backup.retention.locking import wanted_locks
from holdfast.backup.retention.retention import expiring
from holdfast.backup.verify.verification import Standing, Verification, verifications_in
from holdfast.backup.verify.verified_points import Which
from holdfast.estate.backup import Keep
from holdfast.kernel.clock import ManualClock

KEEP = Keep(window=timedelta(days=14))
NAIVE = datetime(2026, 1, 1)  # noqa: DTZ001
LAST = datetime.max.replace(tzinfo=UTC)

FORGED: dict[str, Callable[[Backup], Backup]] = {
    "a moment of no zone": lambda it: replace(it, finished_at=NAIVE),
    "the last moment of all": lambda it: replace(it, finished_at=LAST),
    "a moment before all others": lambda it: replace(it, started_at=datetime.min.replace(tzinfo=UTC)),
    "chunks of nothing": lambda it: replace(it, chunk_bytes=0),
    "segments of nothing": lambda it: replace(it, segment_bytes=0),
    "a place before the beginning": lambda it: replace(it, start_lsn=-5),
    "a place behind the end": lambda it: replace(it, stop_lsn=1 << 200),
    "less than nothing": lambda it: replace(it, index=replace(it.index, stored_bytes=-1)),
    "another database's object": lambda it: replace(it, index=replace(it.index, key="other/wal/x")),
    "another backup's object": lambda it: replace(it, manifest=backup(2).manifest),
}


@pytest.mark.parametrize("how", list(FORGED))
def test_a_forged_record_is_named_and_the_honest_ones_are_held(how: str) -> None:
    honest, forged = backup(0), FORGED[how](backup(1))
    region = stored(MemoryRegion("eu"), [honest], wal(0, 3))
    region.put(layout.record_key(DB, forged.id), encoded(forged))
    held = holdings_of(region, DB, ManualClock(at(5)))
    assert held.backups == (honest,)
    assert held.unreadable == (layout.record_key(DB, forged.id),)
    assert expiring(held, KEEP, at(5)).backups == ()


def test_a_record_counts_in_its_own_place_alone() -> None:
    made = backup(0)
    assert decoded_backup(encoded(made), layout.record_key(DB, made.id)) == made
    for key in (f"{DB}/backups/{made.id}/a0/backup.json", f"{DB}/x/backups/{made.id}/backup.json"):
        with pytest.raises(Damaged):
            decoded_backup(encoded(made), key)


def test_marks_and_verifications_of_no_zone_or_of_endless_durations_are_none() -> None:
    region = stored(MemoryRegion("eu"), [backup(0)], wal(0, 3))
    region.put(f"{DB}/marks/a.json", encoded(Suspicion("a", NAIVE, at(1), "forged")))
    held = holdings_of(region, DB, ManualClock(at(5)))
    assert (held.suspects, held.unreadable) == ((), (f"{DB}/marks/a.json",))
    made = Verification(
        backup(0).id, DB, "eu", Which.NEWEST, Target(), None, at(1), at(1) + HOUR, Standing.PASSED
    )
    forged = msgspec.to_builtins(made)
    for number, change in enumerate(
        ({"started_at": "2026-01-01T00:00:00"}, {"phases": [{"name": "fetch", "took_s": 1e300}]}, {})
    ):
        content = msgspec.json.encode(forged | change)
        region.put(f"{DB}/verifications/{number}.json", content)
    assert verifications_in(region, DB) == [made]


def test_a_piece_that_tells_the_end_of_time_tells_no_time() -> None:
    honest = wal(0, 3)
    end = str((LAST - layout.EPOCH) // timedelta(microseconds=1))
    key = re.sub(r"-\d+-x-", f"-{end}-{end}-", honest[-1].key)
    assert end in key
    piece = layout.piece_of(key, 50)
    assert piece is not None
    assert (piece.commit_at, piece.covered_at) == (None, None)
    held = holdings([backup(0)], [*honest[:-1], piece])
    assert list(wanted_locks(held, KEEP, at(5)))


def test_a_logical_backup_that_names_what_is_not_its_own_is_none() -> None:
    honest = backup(0)
    region = stored(MemoryRegion("eu"), [honest], [])
    forged = replace(backup(1), archives=(), manifest=honest.manifest, index=honest.index)
    region.put(layout.logical_key(DB, forged.id, layout.RECORD), encoded(forged))
    assert logical_backups(region, DB) == []


@pytest.mark.parametrize(
    "member",
    [
        Member("base/1", 0, 0, 1 << 80, 0o600),
        Member("base/1", 0, 1 << 70, 1, 0o600),
        Member("base/1", 7, 0, 1, 0o600),
        Member("base/1", -1, 0, 1, 0o600),
    ],
)
def test_an_index_that_tells_of_more_than_there_is_takes_no_memory(member: Member) -> None:
    with pytest.raises(Damaged, match="behind the end"):
        list(chunks_to_fetch([backup(0)], assembled([[member]])))


@pytest.mark.parametrize("path", ["../x", "/etc/x", "base/../../x", "base/5\0"])
def test_a_path_that_leads_out_is_none(path: str) -> None:
    with pytest.raises(Damaged, match="leads out"):
        decoded_index(encoded_index([Member(path, 0, 0, 1, 0o600)]))


def test_a_restores_own_notes_are_not_written_over_by_those_of_the_one_before() -> None:
    index = [Member(name, 0, 0, 5, 0o600) for name in (MARKER, JOURNAL, "PG_VERSION")]
    assert [each.path for each in assembled([index])] == ["PG_VERSION"]


def test_a_name_that_is_no_text_is_kept_to_the_byte() -> None:
    odd = Member(b"base/caf\xe9".decode(errors="surrogateescape"), 0, 512, 3, 0o600)
    plain = Member("base/1", 0, 1024, 3, 0o600)
    assert decoded_index(encoded_index([plain, odd, plain])) == [plain, odd, plain]


@pytest.mark.parametrize("path", ["2e2e2f78", "zz"])
def test_a_name_in_bytes_leads_out_no_more_than_another(path: str) -> None:
    content = msgspec.json.encode([(path, 0, 0, 1, 0o600, "file-as-bytes", "")])
    with pytest.raises(Damaged):
        decoded_index(content)

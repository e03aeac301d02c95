"""A database of the logical engine is kept by the process: dumped, caught up, verified, healed, expired."""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from tests.kept_by_engines import Desk
from tests.kept_estates import TWO_FOLDERS
from tests.protected import LOGIN, LOGIN_PASSWORD, Protected

from holdfast.adapters.objectstore.regions import open_region
from holdfast.backup import layout
from holdfast.backup.copies.scrubbing import Scrubber
from holdfast.backup.logical.held import dumps_held, record_key
from holdfast.backup.model import Backup, Target
from holdfast.backup.ports import Region
from holdfast.backup.recoverable import marks
from holdfast.backup.recoverable.marks import suspicions_in
from holdfast.backup.take.taking import Silent
from holdfast.backup.verify.verification import Standing, Subject, Verification, verifications_in
from holdfast.backup.verify.verified_points import NEWEST, Which
from holdfast.bootstrap.backup.engine_copies import DumpCopies
from holdfast.bootstrap.backup.engine_kinds import DumpDuties
from holdfast.bootstrap.backup.engines import dumps_for
from holdfast.bootstrap.backup.jobs import Stopped
from holdfast.bootstrap.backup.wanted import wanted_of
from holdfast.bootstrap.estates import read_estate
from holdfast.estate.backup import Keep
from holdfast.interfaces.cli.ports import Place
from holdfast.kernel.clock import Clock, SystemClock
from holdfast.kernel.journal import JournalEntry

ESTATE = (
    TWO_FOLDERS
    + """\
databases:
  main:
    name: Main
    cluster: print
    engine: logical
    connection: {{host: 127.0.0.1, port: {port}, tls: "off", password: "file:password"}}
    copies: {{eu: {{}}, us: {{}}}}
    verification:
      checks:
        orders-are-there: SELECT count(*) >= 2 FROM orders
        it-cannot-be-written-to: SELECT current_setting('transaction_read_only') = 'on'
"""
)


@dataclass
class Later:
    """The time as it is, and so much later."""

    ahead: timedelta = timedelta()

    def now(self) -> datetime:
        return SystemClock().now() + self.ahead

    def monotonic(self) -> float:
        return SystemClock().monotonic() + self.ahead.total_seconds()


class KeptDumps:
    """Everything that is done for one database, a step at a time."""

    def __init__(self, folder: Path, port: int) -> None:
        config = folder / "holdfast.yaml"
        config.write_text(ESTATE.format(folder=folder, port=port), encoding="utf-8")
        (folder / "password").write_text(LOGIN_PASSWORD, encoding="ascii")
        (folder / "password").chmod(0o600)
        self.place = Place(config, folder / "data")
        self.folder = folder
        self.desk = Desk()
        self.events: list[tuple[str, Mapping[str, object]]] = []
        self.entries: list[JournalEntry] = []
        for name in ("eu", "us"):
            (folder / name).mkdir()

    def duties(self, clock: Clock | None = None, go_on: Callable[[], None] = lambda: None) -> DumpDuties:
        def tell(event: str, facts: Mapping[str, object]) -> None:
            self.events.append((event, facts))

        clock = clock or SystemClock()
        estate = read_estate(self.place.config)
        desk, told = self.desk, self.entries.append
        return DumpDuties(estate, "main", self.place, clock, desk, tell, told, go_on=go_on)

    def region(self, name: str) -> Region:
        return open_region(name, (self.folder / name).as_uri(), {}, "none")

    def dumps(self, name: str) -> Sequence[Backup]:
        return dumps_held(self.region(name), "main", SystemClock()).backups

    def told(self, event: str) -> list[Mapping[str, object]]:
        return [facts for name, facts in self.events if name == event]

    def verified(self, name: str) -> list[Verification]:
        return [each for each in verifications_in(self.region("eu"), "main") if each.region == name]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Protected]:
    server = Protected(tmp_path_factory.mktemp("dumped-shop")).start()
    server.sql("CREATE TABLE orders (id int PRIMARY KEY, note text)")
    server.sql("INSERT INTO orders SELECT n, 'first' FROM generate_series(1, 200) n")
    server.sql(f"GRANT pg_read_all_data TO {LOGIN}")
    yield server
    server.remove()


@pytest.fixture(scope="module")
def kept(shop: Protected, tmp_path_factory: pytest.TempPathFactory) -> KeptDumps:
    """Kept for a round: a dump is in both regions, and both were verified."""
    made = KeptDumps(tmp_path_factory.mktemp("kept-dumps"), shop.port)
    made.duties().take_due()
    made.duties().verify_due()
    return made


def test_a_dump_is_taken_when_it_is_due_and_not_before(kept: KeptDumps) -> None:
    (taken,) = kept.told("backup.taken")
    assert taken["kind"] == "full"
    kept.duties().take_due()
    assert len(kept.told("backup.taken")) == 1
    assert (
        [each.id for each in kept.dumps("eu")] == [each.id for each in kept.dumps("us")] == [taken["backup"]]
    )


def test_what_is_recoverable_is_reported_as_of_every_engine(kept: KeptDumps) -> None:
    kept.duties().report()
    assert set(kept.desk.reported) == {"eu", "us"}
    for points in kept.desk.reported.values():
        (dump,) = kept.dumps(points.region)
        assert points.covered_until == dump.started_at
        assert [(each.start, each.end) for each in points.windows] == [(dump.started_at, dump.started_at)]
        assert [each.id for each in points.points] == [dump.id]
        rpo = points.rpo(SystemClock().now())
        assert rpo is not None
        assert rpo > timedelta()
        assert points.verified is not None
        assert points.verified.standing == "passed"
        assert points.expected is not None
    assert not kept.told("backup.overdue")


def test_the_newest_dump_of_each_region_is_restored_and_asked(kept: KeptDumps) -> None:
    for name in ("eu", "us"):
        (record,) = [each for each in kept.verified(name) if each.which is Which.NEWEST]
        assert record.standing is Standing.PASSED, record.problems
        assert {each.name: each.rows for each in record.tables}["postgres.public.orders"] == 200
        assert record.chain == (kept.dumps(name)[0].id,)
        assert {each.key for each in record.checks} == {"orders-are-there", "it-cannot-be-written-to"}
    before = len(kept.entries)
    kept.duties().verify_due()
    assert len(kept.entries) == before, "a day has not gone by"
    assert not list((kept.place.data_dir / "copies").rglob("PG_VERSION"))


def test_a_region_that_was_away_gets_what_it_lacks_and_one_that_was_lost_everything(
    kept: KeptDumps,
) -> None:
    dump = kept.dumps("us")[0]
    kept.region("us").delete([record_key(dump), dump.index.key])
    kept.duties().copy()
    assert [each.id for each in kept.dumps("us")] == [dump.id]
    shutil.rmtree(kept.folder / "us" / "main")
    kept.duties().copy()
    assert dumps_held(kept.region("us"), "main", SystemClock()).missing == ()
    assert [each.id for each in kept.dumps("us")] == [dump.id]
    count = len(kept.told("backup.copied"))
    kept.duties().copy()
    assert len(kept.told("backup.copied")) == count


def test_a_flipped_bit_is_found_by_verification_and_healed_by_the_scrub(kept: KeptDumps) -> None:
    dump = kept.dumps("eu")[0]
    region, chunk = kept.region("eu"), dump.archives[-1].chunks[0]
    good = region.get(chunk.key)
    region.replace(chunk.key, bytes([good[0] ^ 1]) + good[1:])
    estate = read_estate(kept.place.config)
    record = kept.duties().verifier("eu").verify(NEWEST, wanted_of(estate.databases["main"]))
    assert record.standing is Standing.FAILED
    assert any(chunk.key in each.text for each in record.problems)
    scrubber = Scrubber(region, [kept.region("us")], SystemClock(), Silent())
    (harm,) = scrubber.scrub("main", heal=True).harmed
    assert (harm.key, harm.healed_from) == (chunk.key, "us")
    record = kept.duties().verifier("eu").verify(NEWEST, wanted_of(estate.databases["main"]))
    assert record.standing is Standing.PASSED, record.problems


def test_what_a_killed_verification_left_is_ended_and_removed(kept: KeptDumps) -> None:
    estate, folder = read_estate(kept.place.config), kept.place.data_dir / "copies/main/engine-eu/copy"
    folder.parent.mkdir(parents=True, exist_ok=True)
    tier = dumps_for(estate, "main", kept.place.config, [kept.region("eu")], SystemClock())
    left = DumpCopies(tier, None).restore(Target(), folder)
    assert left.copy.ask("template1", "SELECT 1", 60).error == ""
    (folder.parent / "copy.unfinished").mkdir()
    record = kept.duties().verifier("eu").verify(NEWEST, wanted_of(estate.databases["main"]))
    assert record.standing is Standing.PASSED, record.problems
    assert left.copy.ask("template1", "SELECT 1", 60).error
    assert not list(folder.parent.glob("copy*"))


def test_data_that_is_wrong_makes_suspect_and_keeps_dumps_from_expiring(
    kept: KeptDumps, shop: Protected
) -> None:
    shop.sql("DELETE FROM orders WHERE id > 1")
    try:
        later = Later(timedelta(days=2))
        kept.duties(later).take_due()
        estate = read_estate(kept.place.config)
        record = kept.duties(later).verifier("us").verify(NEWEST, wanted_of(estate.databases["main"]))
        assert record.standing is Standing.FAILED
        assert any(each.subject is Subject.INVARIANT for each in record.problems)
    finally:
        shop.sql("INSERT INTO orders SELECT n, 'again' FROM generate_series(2, 200) n")
    (raised,) = [each for each in kept.entries if each.event == "backup.suspicion_raised"]
    kept.desk.keeps = Keep(window=timedelta(hours=1), daily=0, weekly=0, monthly=0, minimum=1)
    much_later = Later(timedelta(days=60))
    kept.duties(much_later).tidy()
    assert not kept.told("backup.expired")
    tell = suspicions_in(kept.region("eu"), "main")
    assert [each.id for each in tell] == [raised.facts["suspicion"]]


def test_what_expired_goes_when_the_suspicion_is_lifted_and_leftovers_are_swept(kept: KeptDumps) -> None:
    regions = [kept.region("eu"), kept.region("us")]
    (mark,) = suspicions_in(regions[0], "main")
    marks.tell(regions, "main", replace(mark, lifted_at=SystemClock().now(), lifted_by="me"))
    kept.duties(Later(timedelta(days=5))).take_due()
    oldest, before, newest = kept.dumps("eu")
    left_by_a_kill = layout.logical_key("main", layout.backup_id(oldest.started_at), "a0/000000-x.zst")
    regions[0].put(left_by_a_kill, b"half of a dump")
    # A moment of the window lies between the two newest: the one before its beginning stays.
    window = (newest.finished_at - before.finished_at) / 2
    kept.desk.keeps = Keep(window=window, daily=0, weekly=0, monthly=0, minimum=1)
    kept.duties().tidy()
    assert list(regions[0].listed(left_by_a_kill)), "it may go on, for all that others know"
    for name in ("eu", "us"):
        assert [each.id for each in kept.dumps(name)] == [before.id, newest.id]
        assert not list(kept.region(name).listed(layout.logical_key("main", oldest.id)))
    assert {each["region"] for each in kept.told("backup.expired")} == {"eu", "us"}
    kept.duties(Later(timedelta(days=60))).tidy()
    assert not list(regions[0].listed(left_by_a_kill))
    kept.duties().copy()
    assert [each.id for each in kept.dumps("us")] == [before.id, newest.id], "what expired comes not back"


def test_a_dump_that_is_overdue_is_told_once_and_told_when_it_is_over(kept: KeptDumps) -> None:
    kept.events.clear()
    duties = kept.duties(later := Later(timedelta(days=30)))
    duties.report()
    duties.report()
    assert sorted(str(each["region"]) for each in kept.told("backup.overdue")) == ["eu", "us"]
    later.ahead = timedelta()
    duties.report()
    assert len(kept.told("backup.taken_again")) == 2


def test_two_at_once_take_one(kept: KeptDumps) -> None:
    with kept.duties().alone("taking") as ours:
        assert ours
        before = len(kept.told("backup.taken"))
        kept.duties(Later(timedelta(days=40))).take_due()
        assert len(kept.told("backup.taken")) == before


def test_a_dump_is_given_up_when_the_process_stops(kept: KeptDumps) -> None:
    before = [each.id for each in kept.dumps("eu")]
    asked = 0

    def stop_in_the_middle() -> None:
        nonlocal asked
        asked += 1
        if asked == 3:
            raise Stopped

    with pytest.raises(Stopped):
        kept.duties(Later(timedelta(days=50)), stop_in_the_middle).take_due()
    assert [each.id for each in kept.dumps("eu")] == before


def test_a_region_that_is_away_is_unknown_and_keeps_the_other_from_nothing(kept: KeptDumps) -> None:
    # With a shorter window it would hang on how long the dumps took which of them goes.
    kept.desk.keeps = Keep(window=timedelta(hours=1), daily=0, weekly=0, monthly=0, minimum=1)
    away = (kept.folder / "us").rename(kept.folder / "us.away")
    duties = kept.duties(Later(timedelta(days=60)))
    count = len(kept.told("backup.taken"))
    try:
        duties.take_due()
        duties.report()
        duties.tidy()
        duties.copy()
    finally:
        away.rename(kept.folder / "us")
    assert len(kept.told("backup.taken")) == count + 1
    assert kept.desk.reported["us"].error
    assert kept.desk.reported["us"].rpo(SystemClock().now()) is None
    assert kept.desk.reported["eu"].error == ""
    failed = kept.told("backup.region_failed")
    assert {each["region"] for each in failed} == {"us"}
    duties.copy()
    assert [each.id for each in kept.dumps("us")] == [each.id for each in kept.dumps("eu")]
    assert kept.told("backup.region_well_again")

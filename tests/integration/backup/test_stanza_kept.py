"""A database of pgbackrest is kept by the process: taken, checked and expired by its command, verified."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from tests.kept_by_engines import Desk
from tests.kept_estates import TWO_FOLDERS
from tests.protected import DEBIAN_15, OWNER, OWNER_PASSWORD, Protected

from holdfast.adapters.objectstore.regions import open_region
from holdfast.adapters.pgbackrest.command import Command
from holdfast.backup.engines import Depth
from holdfast.backup.model import Suspicion, Target, TargetKind
from holdfast.backup.recoverable.marks import tell
from holdfast.backup.verify.verification import Standing, Verification, verifications_in
from holdfast.backup.verify.verified_points import Point, Which
from holdfast.bootstrap.backup.engine_kinds import StanzaDuties
from holdfast.bootstrap.backup.wanted import wanted_of
from holdfast.bootstrap.estates import read_estate
from holdfast.interfaces.cli.ports import Place
from holdfast.kernel.clock import SystemClock
from holdfast.kernel.journal import JournalEntry

STANZA = "orders"
ESTATE = (
    TWO_FOLDERS
    + """\
databases:
  main:
    name: Main
    cluster: print
    engine: pgbackrest
    stanza: {stanza}
    connection: {{host: 127.0.0.1, tls: "off"}}
    copies: {{eu: {{}}, us: {{repo: 2}}}}
    verification:
      bin_dir: {bin_dir}
      checks:
        orders-are-there: SELECT count(*) >= 100 FROM orders
        it-is-in-recovery: SELECT pg_is_in_recovery()
"""
)


class KeptStanza:
    """A server whose WAL goes into two repositories, and all that is done for it, a step at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "pgbackrest.conf"
        archive = f"pgbackrest --config={self.config} --stanza={STANZA} archive-push %p"
        settings = {
            "archive_mode": "on",
            "archive_command": archive,
            "unix_socket_directories": str(folder),
        }
        self.server = Protected(folder / "server", bin_dir=DEBIAN_15, settings=settings)
        options = {
            "repo1-path": str(folder / "repository1"),
            "repo1-retention-full": "1",
            "repo2-path": str(folder / "repository2"),
            "repo2-retention-full": "2",
            "log-path": str(folder),
            "lock-path": str(folder / "lock"),
            "log-level-file": "off",
            "start-fast": "y",
            "archive-timeout": "30",
            "compress-type": "none",
        }
        lines = ["[global]", *(f"{name}={text}" for name, text in options.items())]
        lines += [f"[{STANZA}]", f"pg1-path={self.server.data}", f"pg1-port={self.server.port}"]
        lines += [f"pg1-socket-path={folder}", f"pg1-user={OWNER}"]
        self.config.write_text("\n".join(lines) + "\n", encoding="ascii")
        self.config.chmod(0o600)
        passfile = folder / "pgpass"
        passfile.write_text(f"*:*:*:{OWNER}:{OWNER_PASSWORD}\n", encoding="ascii")
        passfile.chmod(0o600)
        estate = folder / "holdfast.yaml"
        estate.write_text(ESTATE.format(folder=folder, stanza=STANZA, bin_dir=DEBIAN_15), encoding="utf-8")
        self.place = Place(estate, folder / "data")
        self.desk = Desk()
        self.events: list[tuple[str, Mapping[str, object]]] = []
        self.entries: list[JournalEntry] = []
        for name in ("eu", "us"):
            (folder / name).mkdir()

    def duties(self) -> StanzaDuties:
        def tell(event: str, facts: Mapping[str, object]) -> None:
            self.events.append((event, facts))

        estate, clock = read_estate(self.place.config), SystemClock()
        return StanzaDuties(estate, "main", self.place, clock, self.desk, tell, self.entries.append)

    def told(self, event: str) -> list[Mapping[str, object]]:
        return [facts for name, facts in self.events if name == event]

    def verified(self, region: str) -> list[Verification]:
        store = open_region("us", (self.folder / "us").as_uri(), {}, "none")
        return [each for each in verifications_in(store, "main") if each.region == region]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeptStanza]:
    made = KeptStanza(tmp_path_factory.mktemp("stanza"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGBACKREST_CONFIG", str(made.config))
        patch.setenv("PGPASSFILE", str(made.folder / "pgpass"))
        made.server.start()
        try:
            Command(STANZA, config=made.config).run("stanza-create", patience=timedelta(minutes=1))
            made.server.sql("CREATE TABLE orders (id int PRIMARY KEY)")
            made.server.sql("INSERT INTO orders SELECT generate_series(1, 100)")
            yield made
        finally:
            made.server.remove()


def test_it_is_unknown_before_anything_was_taken(kept: KeptStanza) -> None:
    kept.duties().report()
    for points in kept.desk.reported.values():
        assert points.error == ""
        assert points.covered_until is None
        assert points.rpo(SystemClock().now()) is None
        assert points.points == ()


def test_a_full_one_is_taken_into_each_repository_and_nothing_more_before_it_is_due(kept: KeptStanza) -> None:
    kept.duties().take_due()
    assert [(each["kind"], each["region"]) for each in kept.told("backup.taken")] == [
        ("full", "eu"),
        ("full", "us"),
    ]
    kept.duties().take_due()
    assert len(kept.told("backup.taken")) == 2
    kept.duties().report()
    for points in kept.desk.reported.values():
        (point,) = points.points
        assert points.covered_until is not None
        assert points.covered_until <= point.at
        assert len(points.windows) == 1
        assert points.verified is None


def test_its_own_check_proves_that_what_was_written_until_then_is_archived(kept: KeptStanza) -> None:
    before = SystemClock().now()
    kept.server.sql("INSERT INTO orders SELECT generate_series(101, 150)")
    kept.duties().check()
    kept.duties().report()
    for points in kept.desk.reported.values():
        assert points.covered_until is not None
        assert points.covered_until >= before
        assert points.windows[-1].end >= before


def test_the_newest_is_restored_in_isolation_and_asked(kept: KeptStanza) -> None:
    kept.duties().verify_due()
    for region in ("eu", "us"):
        (record,) = [each for each in kept.verified(region) if each.which is Which.NEWEST]
        assert record.standing is Standing.PASSED, record.problems
        rows = {each.name: each.rows for each in record.tables}
        assert rows["postgres.public.orders"] == 150, "what was archived behind the backup is in it"
        assert record.reached_lsn is not None
    kept.duties().report()
    for points in kept.desk.reported.values():
        assert points.verified is not None
        assert points.verified.standing == "passed"
        assert points.expected is not None
    assert not list((kept.place.data_dir / "copies").rglob("PG_VERSION"))


def test_one_backup_alone_is_restored_to_its_own_end(kept: KeptStanza) -> None:
    kept.duties().report()
    id_ = kept.desk.reported["us"].points[0].id
    estate = read_estate(kept.place.config)
    point = Point(Which.ASKED, Target(TargetKind.LABEL, label=id_))
    record = kept.duties().verifier("us").verify(point, wanted_of(estate.databases["main"]))
    assert record.standing is Standing.PASSED, record.problems
    assert {each.name: each.rows for each in record.tables}["postgres.public.orders"] == 100


def test_wal_that_is_missing_in_the_archive_fails_the_verification(kept: KeptStanza) -> None:
    for _ in range(3):
        kept.server.sql("INSERT INTO orders SELECT max(id) + 1 FROM orders")
        kept.duties().check()
    segments = sorted(
        each
        for each in (kept.folder / "repository1").rglob("*-*")
        if each.is_file() and "archive" in each.parts
    )
    whole = [each for each in segments if len(each.name.partition("-")[0]) == 24]
    gone = whole[-2].rename(whole[-2].with_name("away"))
    try:
        estate = read_estate(kept.place.config)
        record = (
            kept.duties()
            .verifier("eu")
            .verify(Point(Which.NEWEST, Target()), wanted_of(estate.databases["main"]))
        )
        assert record.standing is Standing.FAILED
        assert any(whole[-2].name[:24] in each.text for each in record.problems)
    finally:
        gone.rename(whole[-2])


def test_pgbackrest_expires_by_its_own_configuration_unless_there_is_a_suspicion(kept: KeptStanza) -> None:
    stores = [open_region(name, (kept.folder / name).as_uri(), {}, "none") for name in ("eu", "us")]
    engine = kept.duties()._engine()
    engine.take(Depth.FULL, repo="repo1", expire=False)
    assert len([each for each in engine.backups() if each.region == "repo1"]) == 2
    now = SystemClock().now()
    tell(stores, "main", Suspicion("one", now, now, "somebody looked"))
    kept.duties().expire()
    assert len([each for each in engine.backups() if each.region == "repo1"]) == 2
    tell(stores, "main", Suspicion("one", now, now, "somebody looked", now, "me"))
    kept.duties().expire()
    assert len([each for each in engine.backups() if each.region == "repo1"]) == 1

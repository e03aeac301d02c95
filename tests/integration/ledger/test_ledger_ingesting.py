"""`holdfast ledger tenant|source|token|ingest|correct`, as an operator uses them, on a real database."""

import asyncio
import gzip
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import Result
from tests.installation import eventually
from tests.ledger_process import LedgerProcess, ledger_process, posted
from typer.testing import CliRunner

from holdfast.adapters.packing.segments import ZstdSegments
from holdfast.adapters.postgres.connect import open_pool
from holdfast.adapters.postgres.estate import PostgresRegistry
from holdfast.adapters.postgres.ledger.logs import PostgresLogs
from holdfast.adapters.postgres.ledger.sources import PostgresSources
from holdfast.bootstrap.commands import LocalCommands
from holdfast.bootstrap.estates import read_estate
from holdfast.bootstrap.ledger.ingesting import LocalIngesting
from holdfast.bootstrap.signals import Signals
from holdfast.interfaces.cli.app import build
from holdfast.interfaces.cli.ledger.ingest import IngestCommands, IngestOutcome, IngestRequest
from holdfast.interfaces.cli.ports import Place
from holdfast.ledger.canonical import entry_of
from holdfast.ledger.intake.reading import Sender
from holdfast.ledger.model import Conflict, Record
from holdfast.ledger.sources import Reader

if TYPE_CHECKING:
    from conftest import Database

PSEUDONYMS = "cHNldWRvbnltc3BzZXVkb255bXNwc2V1ZG9ueW1zMTI="
TO_ACME = ("--tenant", "acme", "--source", "cups", "--format", "cups")


@dataclass
class Bench:
    """The command line, and what the database has then."""

    process: LedgerProcess
    database: "Database"

    def said(self, *arguments: object, code: int = 0) -> Result:
        place = ["--config", self.place.config, "--data-dir", self.place.data_dir]
        argv = ["ledger", *map(str, (*arguments, *place))]
        answer = CliRunner().invoke(build(LocalCommands), argv)
        assert answer.exception is None or isinstance(answer.exception, SystemExit), answer.exception
        assert answer.exit_code == code, answer.output
        return answer

    def json(self, *arguments: object, code: int = 0) -> Any:
        return json.loads(self.said(*arguments, "--json", code=code).stdout)

    @property
    def place(self) -> Place:
        return Place(self.process.installation.config, self.process.installation.data_dir)

    def entries(self, tenant: str = "acme") -> list[Record | Conflict]:
        async def read() -> list[Record | Conflict]:
            async with open_pool(self.database.conninfo(), "test") as pool:
                logs = PostgresLogs(pool, ZstdSegments())
                head = await logs.head(tenant)
                if head is None:
                    return []
                return [entry_of(leaf) for leaf in await logs.entries(head.log_id, 0, head.edge.size)]

        return asyncio.run(read())

    def records(self) -> list[Record]:
        return [each for each in self.entries() if isinstance(each, Record)]

    def admitted(self, token: str) -> Sender | Reader | None:
        async def ask() -> Sender | Reader | None:
            async with open_pool(self.database.conninfo(), "test") as pool:
                return await PostgresSources(pool).admitted(token)

        return asyncio.run(ask())

    def file(self, name: str, *jobs: int, lines: Callable[[int], str] | None = None) -> Path:
        path = self.place.config.parent / name
        with path.open("a") as content:
            content.writelines(f"{(lines or total)(job)}\n" for job in jobs)
        return path


def total(job: int) -> str:
    at = f"[20/May/2026:10:{job % 60:02}:00 +0000]"
    return f"P1 ada {job} {at} total {1 + job % 3} acme-1 pc7 report A4 one-sided"


@pytest.fixture
def bench(migrated_database: "Database", tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    with opened_bench(migrated_database, tmp_path / "here", monkeypatch, {}) as bench:
        yield bench


@contextmanager
def opened_bench(
    database: "Database", folder: Path, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any]
) -> Iterator[Bench]:
    more = {"pseudonym_key": "env:PSEUDONYMS", **more}
    with ledger_process(folder, database.conninfo().dsn, more, wait=False) as process:
        environment = process.installation.environment
        environment["PSEUDONYMS"] = PSEUDONYMS
        for name in ("DATABASE_URL", "LEDGER_KEY", "PSEUDONYMS"):
            monkeypatch.setenv(name, environment[name])
        estate = read_estate(process.installation.config)
        registry = PostgresRegistry(database.conninfo())
        asyncio.run(registry.apply(estate, source_sha256="0" * 64, at=datetime.now(UTC), actor="test"))
        yield Bench(process, database)


@pytest.fixture
def acme(bench: Bench) -> Bench:
    bench.said("tenant", "add", "acme", "--name", "Acme Ltd", "--time-zone", "Europe/Berlin")
    bench.said("source", "add", "cups", "--tenant", "acme", "--kind", "importer")
    return bench


# --- tenants, sources, tokens


def test_a_tenant_with_its_sources_and_tokens(bench: Bench) -> None:
    bench.said("tenant", "add", "acme", "--name", "Acme Ltd", "--time-zone", "Europe/Berlin")
    assert "there is a tenant 'acme' already" in bench.json("tenant", "add", "acme", code=1)["error"]
    added = bench.json("source", "add", "prints", "--tenant", "acme", "--kind", "client")
    assert bench.admitted(added["token"]) == Sender("acme", "prints")
    second = bench.said("token", "create", "--tenant", "acme", "--source", "prints").stdout.strip()
    assert bench.admitted(second) == Sender("acme", "prints")
    reader = bench.json("token", "create", "--tenant", "acme", "--reader", "auditor")
    found = bench.admitted(reader["token"])
    assert isinstance(found, Reader)
    assert found.name == "auditor"
    listed = bench.json("token", "list")
    assert [(each["source"], each["name"]) for each in listed] == [
        ("prints", ""),
        ("prints", ""),
        (None, "auditor"),
    ]
    assert second not in bench.said("token", "list").output
    bench.said("token", "revoke", listed[0]["token_id"])
    assert bench.admitted(added["token"]) is None
    bench.said("token", "revoke", listed[0]["token_id"], code=1)
    bench.said("source", "revoke", "prints", "--tenant", "acme")
    assert bench.admitted(second) is None
    assert bench.json("source", "list")[0]["revoked_at"]
    bench.said("source", "revoke", "prints", "--tenant", "acme", code=1)


def test_what_cannot_be_is_said_with_a_hint(bench: Bench) -> None:
    bench.said("tenant", "add", "acme")
    told = bench.json("source", "add", "x", "--tenant", "acne", "--kind", "client", code=1)
    assert told == {"error": "there is no tenant 'acne'", "hint": "did you mean `acme`?"}
    for arguments in (
        ("tenant", "add", "Acme"),
        ("tenant", "add", "other", "--time-zone", "Mars"),
        ("tenant", "add", "other", "--keep", "36h"),
        ("tenant", "add", "other", "--keep", "soon"),
        ("tenant", "change", "acme"),
        ("tenant", "change", "other", "--name", "x"),
        ("source", "add", "x y", "--tenant", "acme", "--kind", "client"),
        ("source", "add", "x", "--tenant", "acme", "--kind", "printer"),
        ("token", "create", "--tenant", "acme"),
        ("token", "create", "--tenant", "acme", "--source", "x"),
        ("token", "create", "--tenant", "acme", "--source", "x", "--reader", "y"),
        ("token", "revoke", "17"),
    ):
        assert bench.json(*arguments, code=1)["error"], arguments


def test_a_tenant_is_changed_in_part(bench: Bench) -> None:
    bench.said("tenant", "add", "acme", "--name", "Acme", "--keep", "90d")
    changed = bench.json("tenant", "change", "acme", "--time-zone", "Europe/Berlin")
    assert (changed["name"], changed["time_zone"], changed["keep_days"]) == ("Acme", "Europe/Berlin", 90)
    assert bench.json("tenant", "change", "acme", "--keep", "estate")["keep_days"] is None
    assert "as the estate says" in bench.said("tenant", "list").output


# --- files


def test_a_file_goes_in_once(acme: Bench) -> None:
    log = acme.file("page_log", *range(1, 31))
    first = acme.json("ingest", log, *TO_ACME)
    assert (first["lines"], first["taken"], first["first_leaf"], first["last_leaf"]) == (30, 30, 0, 29)
    log.rename(log.with_suffix(".1"))
    again = acme.file("page_log", *range(31, 41))
    both = acme.json("ingest", log.with_suffix(".1"), again, *TO_ACME)
    assert (both["taken"], both["repeated"], both["first_leaf"]) == (10, 30, 30)
    records = acme.records()
    assert [each.seq for each in records] == list(range(1, 41))
    assert [each.job for each in records] == [f"P1-{n}" for n in range(1, 41)]
    assert sum(int(each.mono_impressions or 0) for each in records) == sum(1 + n % 3 for n in range(1, 41))
    said = acme.said("ingest", again, *TO_ACME).output
    assert "0 jobs taken in, 10 there already, 0 lines refused" in said


def test_nobody_is_named_in_the_log(acme: Bench) -> None:
    acme.said("ingest", acme.file("page_log", 1, 2), *TO_ACME)
    one, two = acme.records()
    assert one.user == two.user
    assert one.person == two.person
    assert str(one.user).startswith("p-")
    with acme.database.connect() as connection:
        tables = connection.execute(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = 'ledger'"
        ).fetchall()
        for (table,) in tables:
            rows = connection.execute(f"SELECT t::text FROM {table} AS t").fetchall()
            assert not [row for row in rows if "ada" in row[0].split(",")], table
    assert "users were left out" not in acme.said("ingest", acme.file("page_log", 3), *TO_ACME).output


def test_a_line_that_is_refused_is_told_and_the_others_go_in(acme: Bench) -> None:
    log = acme.file("page_log", 1, 2, lines=lambda n: total(n) if n == 1 else "rubbish")
    acme.file("page_log", 3)
    answer = acme.json("ingest", log, *TO_ACME, code=1)
    assert (answer["taken"], answer["refused"]) == (2, 1)
    assert (answer["told"][0]["line"], "not of the format" in answer["told"][0]["reason"]) == (2, True)
    said = acme.said("ingest", log, *TO_ACME, code=1)
    assert f"{log}, line 2: it is not of the format" in said.stderr


def test_a_dry_run_takes_nothing_in(acme: Bench) -> None:
    log = acme.file("page_log", *range(1, 6))
    answer = acme.json("ingest", log, *TO_ACME, "--dry-run")
    assert (answer["taken"], answer["first_leaf"], answer["size"]) == (5, None, 0)
    assert not acme.entries()
    assert "5 jobs would be taken in" in acme.said("ingest", log, *TO_ACME, "--dry-run").output
    with acme.database.connect() as connection:
        assert connection.execute("SELECT count(*) FROM ledger.imported").fetchall() == [(0,)]


def test_a_half_written_line_is_left_for_the_next_time(acme: Bench) -> None:
    log = acme.file("page_log", 1)
    with log.open("a") as content:
        content.write(total(2)[:60])
    assert acme.json("ingest", log, *TO_ACME)["half_written"] == [str(log)]
    with log.open("a") as content:
        content.write(total(2)[60:])
    assert "has no end yet" in acme.said("ingest", log, *TO_ACME).output
    assert len(acme.records()) == 1
    assert acme.json("ingest", log, *TO_ACME, "--whole")["taken"] == 1
    log.write_text(log.read_text() + "\n" + total(3) + "\n")
    assert acme.json("ingest", log, *TO_ACME)["taken"] == 1
    assert [each.job for each in acme.records()] == ["P1-1", "P1-2", "P1-3"]


def test_pages_of_a_job_over_the_border_of_two_files(acme: Bench) -> None:
    now = datetime.now(UTC)

    def page(job: int, number: int) -> str:
        return f"P1 ada {job} [{now:%d/%b/%Y:%H:%M:%S} +0000] {number} 1 - pc7 report A4 one-sided"

    first = acme.file("page_log.1", 1, 2, lines=lambda n: page(7, n))
    second = acme.file("page_log", 3, 4, lines=lambda n: page(7, n))
    answer = acme.json("ingest", first, second, *TO_ACME)
    assert (answer["taken"], answer["held_back"]) == (0, 1)
    assert "may still get pages" in acme.said("ingest", first, second, *TO_ACME).output
    assert acme.json("ingest", first, second, *TO_ACME, "--whole")["taken"] == 1
    [record] = acme.records()
    assert record.mono_impressions == 4
    early = acme.json("ingest", first, *TO_ACME, "--whole", code=1)
    assert (early["taken"], early["otherwise"]) == (0, 1)
    assert len(acme.entries()) == 1


def test_packed_files_and_standard_input(acme: Bench) -> None:
    plain = acme.file("page_log", 1, 2)
    packed = plain.with_suffix(".1.gz")
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert acme.json("ingest", packed, *TO_ACME)["taken"] == 2
    assert acme.json("ingest", plain, *TO_ACME)["repeated"] == 2
    place = ["--config", str(acme.place.config), "--data-dir", str(acme.place.data_dir), "--json"]
    answer = CliRunner().invoke(
        build(LocalCommands), ["ledger", "ingest", "-", *TO_ACME, *place], input=f"{total(1)}\n{total(9)}\n"
    )
    assert answer.exit_code == 0, answer.output
    assert json.loads(answer.stdout)["taken"] == 1


def test_papercut_in_the_tenants_time_zone(acme: Bench) -> None:
    heading = (
        "PaperCut Print Logger - http://www.papercut.com/\n"
        "Time,User,Pages,Copies,Printer,Document Name,Client,"
        "Paper Size,Language,Height,Width,Duplex,Grayscale,Size"
    )
    line = '2026-05-29 17:50:10,ada,3,2,HP-MFT01,"Minutes",PC7,A4,PCL6,,,NOT DUPLEX,GRAYSCALE,19kb,'
    daily = acme.file("daily.csv", 0, 1, 1, lines=lambda n: line if n else heading)
    monthly = acme.file(
        "monthly.csv", 0, 1, 2, 2, lines=lambda n: [heading, line[:3] + "5" + line[4:], line][n]
    )
    papercut = ("--tenant", "acme", "--source", "cups", "--format", "papercut")
    assert acme.json("ingest", daily, *papercut)["taken"] == 2
    assert acme.json("ingest", monthly, *papercut)["repeated"] == 2
    assert [each.occurred_at.isoformat() for each in acme.records()] == [
        "2026-05-29T15:50:10+00:00",
        "2026-05-29T15:50:10+00:00",
        "2025-05-29T15:50:10+00:00",
    ]


def test_ndjson_of_an_importer_and_of_a_source_with_numbers_of_its_own(acme: Bench) -> None:
    fax = {"kind": "fax", "occurred_at": "2026-05-20T10:00:00Z", "status": "completed", "fax_pages": 2}
    lines = [
        {"job": "1", **fax, "person": {"login": "ada", "name": "Ada"}},
        {"job": "2", **fax, "seq": 4},
        {"job": "3", **fax},
    ]
    file = acme.file("jobs.ndjson", 0, 1, 2, lines=lambda n: json.dumps(lines[n]))
    ndjson = ("--tenant", "acme", "--format", "ndjson")
    assert acme.json("ingest", file, "--source", "cups", *ndjson, code=1)["taken"] == 2
    acme.said("source", "add", "spooler", "--tenant", "acme", "--kind", "client")
    path = acme.place.config.parent / "own.ndjson"
    own = posted(range(5, 9), person={"login": "ada", "name": "Ada"}, user=None)
    path.write_bytes(
        own.replace(b', "user": null', b"") + b"\nrubbish\n" + posted([9], source="other") + b"\n"
    )
    answer = acme.json("ingest", path, "--source", "spooler", *ndjson, code=1)
    assert (answer["taken"], [each["line"] for each in answer["told"]]) == (4, [5, 6])
    path.write_bytes(posted([5], job="another") + b"\n" + posted([9]) + b"\n")
    assert acme.json("ingest", path, "--source", "spooler", *ndjson, "--dry-run")["taken"] == 2
    again = acme.json("ingest", path, "--source", "spooler", *ndjson, code=1)
    assert (again["taken"], again["conflicts"]) == (1, 1)
    records = acme.records()
    assert [(each.source, each.seq) for each in records] == [
        ("cups", 1),
        ("cups", 2),
        *(("spooler", n) for n in (5, 6, 7, 8, 9)),
    ]
    assert records[0].user == records[2].user
    assert len(acme.entries()) == 8
    cups = acme.json("ingest", path, "--tenant", "acme", "--source", "spooler", "--format", "cups", code=1)
    assert "numbers its records itself" in cups["error"]


def test_what_cannot_be_read_takes_nothing_in(acme: Bench) -> None:
    good = acme.file("page_log", 1)
    for arguments, why in (
        ((good, acme.place.config.parent / "nothing", *TO_ACME), "cannot be read"),
        ((good, acme.place.config.parent, *TO_ACME), "cannot be read"),
        ((good, "-", *TO_ACME), "standard input"),
        ((good, "--tenant", "acme", "--source", "cups", "--format", "csv"), "no format"),
        ((good, "--tenant", "acme", "--source", "nobody", "--format", "cups"), "has no source"),
        ((good, "--tenant", "nobody", "--source", "cups", "--format", "cups"), "no tenant"),
        ((good, *TO_ACME, "--log-format", "%p"), "cannot be made without"),
        ((good, *TO_ACME, "--follow", "--whole"), "--follow"),
        ((good, *TO_ACME, "--encoding", "klingon"), "no encoding"),
        ((good, *TO_ACME, "--encoding", "hex"), "no encoding"),
        ((good, *TO_ACME[:-1], "papercut", "--time-zone", "Mars"), "no time zone"),
    ):
        assert why in acme.json("ingest", *arguments, code=1)["error"]
    acme.said("source", "revoke", "cups", "--tenant", "acme")
    assert "in force" in acme.json("ingest", good, *TO_ACME, code=1)["error"]
    assert not acme.entries()


def test_another_pseudonym_key_would_make_everything_new_and_is_refused(
    acme: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = acme.file("page_log", 1)
    acme.said("ingest", log, *TO_ACME)
    monkeypatch.setenv("PSEUDONYMS", PSEUDONYMS[::-1][1:] + "=")
    told = acme.json("ingest", log, *TO_ACME, code=1)
    assert "another pseudonym key" in told["error"]
    assert len(acme.entries()) == 1


def test_beside_the_serving_process_and_beside_itself(acme: Bench) -> None:
    token = acme.json("source", "add", "spooler", "--tenant", "acme", "--kind", "client")["token"]
    log = acme.file("page_log", *range(1, 2001))
    acme.process.start()
    assert acme.process.post(posted([10**9]), token).status_code == 200
    posting = threading.Event()

    def post() -> int:
        posted_so_far = 0
        while not posting.is_set():
            numbers = range(posted_so_far, posted_so_far + 50)
            assert acme.process.post(posted(numbers), token).status_code == 200
            posted_so_far += 50
        return posted_so_far

    with ThreadPoolExecutor(4) as threads:
        sending = threads.submit(post)
        run = acme.process.installation.run
        ingesting = [threads.submit(run, "ledger", "ingest", str(log), *TO_ACME, "--json") for _ in range(2)]
        answers = [each.result().json for each in ingesting]
        posting.set()
        sent = sending.result()
    assert sum(each["taken"] for each in answers) == 2000
    assert sum(each["repeated"] for each in answers) == 2000
    entries = acme.records()
    assert len(entries) == len(acme.entries()) == 2001 + sent
    assert sorted(each.seq for each in entries if each.source == "cups") == list(range(1, 2001))
    assert sorted(each.seq for each in entries if each.source == "spooler") == [*range(sent), 10**9]
    acme.process.stop()


def test_killed_in_the_middle_and_begun_anew(acme: Bench) -> None:
    log = acme.file("page_log", *range(1, 60_001))
    installation = acme.process.installation
    for _ in range(3):
        with acme.database.connect() as connection:
            before = _count(connection)
            started = installation.start("ledger", "ingest", str(log), *TO_ACME, "--json")
            eventually(lambda: _count(connection) > before or started.process.poll() is not None, "it began")  # noqa: B023
            started.kill()
    answer = installation.run("ledger", "ingest", str(log), *TO_ACME, "--json").json
    assert answer["taken"] + answer["repeated"] == 60_000
    assert (answer["otherwise"], answer["conflicts"]) == (0, 0)
    with acme.database.connect() as connection:
        row = connection.execute(
            "SELECT sum(last - first + 1), min(first), max(last) FROM ledger.run"
        ).fetchone()
    assert row == (60_000, 1, 60_000)
    assert len({each.job for each in acme.records()}) == 60_000


def _count(connection: Any) -> int:
    return int(connection.execute("SELECT count(*) FROM ledger.imported").fetchone()[0])


class _Followed(LocalCommands):
    def __init__(self, ingesting: LocalIngesting) -> None:
        self._ingesting = ingesting

    def ledger_ingesting(self) -> IngestCommands:
        return self._ingesting


def test_a_file_is_followed_over_its_rotations(acme: Bench) -> None:
    log = acme.file("page_log", 1, 2)
    signals = Signals()
    loop = list[asyncio.AbstractEventLoop]()

    def inside() -> Signals:
        loop.append(asyncio.get_running_loop())
        return signals

    request = IngestRequest((log,), "acme", "cups", "cups", follow=True)

    def follow() -> IngestOutcome:
        return LocalIngesting(inside).ingest(acme.place, request, lambda _: None)

    def there(count: int) -> None:
        eventually(lambda: len(acme.records()) == count, f"{count} records")

    with ThreadPoolExecutor(1) as threads:
        following = threads.submit(follow)
        try:
            there(2)
            acme.file("page_log", 3)
            with log.open("a") as content:
                content.write(total(4)[:50])
                content.flush()
                there(3)
                log.rename(log.with_suffix(".1"))  # its writer still has it open
                acme.file("page_log", 5)
                content.write(total(4)[50:])
            there(5)
            log.write_text("")  # emptied in place, and begun anew, as long as it was
            acme.file("page_log", 6)
            there(6)
        finally:
            loop[0].call_soon_threadsafe(signals.stop.set)
        outcome = following.result(60)
    assert (outcome.total.taken, outcome.total.refused, outcome.held_back) == (6, 0, 0)
    assert sorted(each.job for each in acme.records()) == [f"P1-{n}" for n in range(1, 7)]


def test_following_ends_as_it_is_told_to(acme: Bench) -> None:
    log = acme.file("page_log", 1)
    started = acme.process.installation.start("ledger", "ingest", str(log), *TO_ACME, "--follow", "--json")
    eventually(lambda: len(acme.records()) == 1, "it follows")
    said = started.stop()
    assert (said.code, said.json["taken"]) == (0, 1)


def test_the_second_region_is_waited_for_as_everybody_does(
    migrated_database: "Database", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for when_away in ("accept", "stall"):
        more = {"second_region": {"standby": "nowhere", "when_away": when_away, "within": "1s"}}
        with opened_bench(migrated_database, tmp_path / when_away, monkeypatch, more) as bench:
            if when_away == "accept":
                bench.said("tenant", "add", "acme")
                bench.said("source", "add", "cups", "--tenant", "acme", "--kind", "importer")
                answer = bench.json("ingest", bench.file("page_log", 1, 2), *TO_ACME)
                assert (answer["taken"], answer["one_region"]) == (2, True)
                assert "in one region" in bench.said("ingest", bench.file("page_log"), *TO_ACME).output
                continue
            log = bench.file("page_log", 1, 2, 3)
            for _ in range(2):  # also what is there already is in one region only
                told = bench.json("ingest", log, *TO_ACME, code=1)
                assert "the second region did not flush it" in told["error"]
            assert len(bench.records()) == 3
    with migrated_database.connect() as connection:
        rows = connection.execute("SELECT DISTINCT from_size, to_size FROM ledger.one_region").fetchall()
    assert rows == [(0, 2)]


# --- corrections


def correct(bench: Bench, leaf: int, *settings: str, code: int = 0, dry_run: bool = False) -> Any:
    more = [part for setting in settings for part in ("--set", setting)] + ["--dry-run"] * dry_run
    return bench.json(
        "correct", "--tenant", "acme", "--leaf", leaf, "--reason", "torn", "--actor", "ada", *more, code=code
    )


def test_a_correction_takes_the_place_of_what_it_corrects(acme: Bench) -> None:
    acme.said("ingest", acme.file("page_log", 1, 2), *TO_ACME)
    looked = correct(acme, 1, "sheets.A4=1", "mono_impressions=1", "prices.print=5EUR", dry_run=True)
    assert looked["leaf"] is None
    assert len(acme.entries()) == 2
    done = correct(acme, 1, "sheets.A4=1", "mono_impressions=1", "prices.print=5EUR")
    assert (done["leaf"], done["repeated"], done["differences"]) == (2, False, looked["differences"])
    _, wrong, right = acme.records()
    assert isinstance(right.corrects, object)
    assert (right.sheets, right.mono_impressions, right.job) == ({"A4": 1}, 1, wrong.job)
    assert (right.source, right.seq, right.user, right.person) == ("corrections", 1, wrong.user, wrong.person)
    again = correct(acme, 1, "sheets.A4=1", "mono_impressions=1", "prices.print=5EUR")
    assert (again["leaf"], again["repeated"]) == (2, True)
    other = correct(acme, 1, "sheets.A4=7", code=1)
    assert "is corrected by leaf 2 already" in other["error"]
    assert "--leaf 2" in other["hint"]
    assert correct(acme, 2, "sheets.A4=7")["leaf"] == 3
    assert len(acme.entries()) == 4


def test_what_makes_no_correction_is_refused(acme: Bench) -> None:
    acme.said("ingest", acme.file("page_log", 1), *TO_ACME)
    assert correct(acme, 9, "sheets.A4=1", code=1)["error"]
    for setting in (
        "sheets.A4=two",
        "sheets.A4=-1",
        "sheets=1",
        "mono_impressions.x=1",
        "job=other",
        "seq=5",
        "tenant=other",
        "sheets.",
        "prices.print=1.25EUR",
        "prices.print=125euro",
        "status=done",
        "occurred_at=yesterday",
        "occurred_at=2026-05-20T10:00:00",
        "quality=estimated",  # it is that already
    ):
        assert correct(acme, 0, setting, code=1)["error"], setting
    assert len(acme.entries()) == 1


def test_two_correct_the_same_at_once(acme: Bench) -> None:
    acme.said("ingest", acme.file("page_log", 1), *TO_ACME)
    run = acme.process.installation.run
    argv = ["ledger", "correct", "--tenant", "acme", "--leaf", "0", "--reason", "torn", "--json", "--set"]
    with ThreadPoolExecutor(3) as threads:
        running = [threads.submit(run, *argv, f"sheets.A4={n}", code=None) for n in (5, 6, 5)]
        codes = [each.result().code for each in running]
    corrections = [each for each in acme.records() if each.corrects]
    assert len(corrections) == 1, "a leaf is corrected once"
    assert codes.count(0) == (2 if corrections[0].sheets == {"A4": 5} else 1)


def test_a_conflict_entry_is_not_corrected(acme: Bench) -> None:
    acme.said("source", "add", "spooler", "--tenant", "acme", "--kind", "client")
    path = acme.place.config.parent / "own.ndjson"
    path.write_bytes(posted([5]) + b"\n" + posted([5], job="another") + b"\n")
    acme.said("ingest", path, "--tenant", "acme", "--source", "spooler", "--format", "ndjson", code=1)
    told = correct(acme, 1, "sheets.A4=1", code=1)
    assert "conflict entry" in told["error"]
    assert "leaf 0" in told["hint"]

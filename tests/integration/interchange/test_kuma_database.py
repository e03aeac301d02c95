"""Real SQLite files: read as they are, left as they are."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from kuma_files import HEARTBEAT, MONITOR, make_kuma

from holdfast.adapters.imports.kuma import KumaDatabase
from holdfast.interchange.errors import SourceError

SHOP: dict[str, object] = {"name": "Shop", "type": "http", "url": "http://h/", "interval": 60}


def _seen(folder: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in folder.iterdir()}


def test_a_database_at_rest_is_read_and_nothing_appears_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "kuma.db"
    make_kuma(path, [SHOP], [(1, "2026-03-01 10:00:00", 1, "200 - OK")], [(1, 1_772_359_200, 60)]).close()
    before = _seen(tmp_path)

    with KumaDatabase(path) as database:
        set_up = database.set_up()
        beats = list(database.heartbeats(1))
        counts = database.counts(1)

    assert list(before) == ["kuma.db"]
    assert _seen(tmp_path) == before
    assert set_up.monitors[0]["name"] == "Shop"
    assert set_up.others == {"notification": 1}
    assert [(beat.time, beat.status, beat.ping) for beat in beats] == [("2026-03-01 10:00:00", 1, 42)]
    assert [count.records for count in counts] == [60]


def test_what_only_the_write_ahead_log_holds_is_read(tmp_path: Path) -> None:
    path = tmp_path / "kuma.db"
    with closing(make_kuma(path, [SHOP])) as writer:
        writer.execute("INSERT INTO monitor (name, type) VALUES ('Newest', 'ping')")
        assert (tmp_path / "kuma.db-wal").stat().st_size > 0
        before = path.read_bytes()

        with KumaDatabase(path) as database:
            names = [row["name"] for row in database.set_up().monitors]
            writer.execute("INSERT INTO monitor (name, type) VALUES ('Meanwhile', 'ping')")
            again = [row["name"] for row in database.set_up().monitors]

        assert names == again == ["Shop", "Newest"]
        assert path.read_bytes() == before


def test_a_copy_with_its_log_is_read_too(tmp_path: Path) -> None:
    with closing(make_kuma(tmp_path / "kuma.db", [SHOP])):
        copy = tmp_path / "copy"
        copy.mkdir()
        for suffix in ("", "-wal"):
            shutil.copy(tmp_path / f"kuma.db{suffix}", copy / f"kuma.db{suffix}")

    with KumaDatabase(copy / "kuma.db") as database:
        assert [row["name"] for row in database.set_up().monitors] == ["Shop"]


def test_a_version_without_statistics_counts_nothing(tmp_path: Path) -> None:
    make_kuma(tmp_path / "kuma.db", [SHOP]).close()

    with KumaDatabase(tmp_path / "kuma.db") as database:
        assert database.counts(1) == []


def test_heartbeats_are_a_stream(tmp_path: Path) -> None:
    beats = (
        (1, f"2026-03-{1 + n // 1440:02} {n // 60 % 24:02}:{n % 60:02}:00", 1, "") for n in range(20_000)
    )
    make_kuma(tmp_path / "kuma.db", [SHOP], beats).close()

    with KumaDatabase(tmp_path / "kuma.db") as database:
        stream = database.heartbeats(1)
        first = next(stream)
        rest = sum(1 for _ in stream)

    assert first.time == "2026-03-01 00:00:00"
    assert rest == 19_999


def _text(path: Path) -> None:
    path.write_text("not a database, " * 100)


def _other(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE monitor (a)")


def _endless_view(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(HEARTBEAT)
        endless = "SELECT 1, 'http' UNION ALL SELECT id + 1, type FROM n"
        connection.execute(
            f"CREATE VIEW monitor AS WITH RECURSIVE n(id, type) AS ({endless}) SELECT * FROM n"
        )


def _truncated(path: Path) -> None:
    make_kuma(path, [SHOP], ((1, f"2026-03-01 10:00:{n % 60:02}", 1, "x" * 200) for n in range(2000))).close()
    with path.open("r+b") as file:
        file.truncate(8192)


def _huge_cell(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(MONITOR)
        connection.execute(HEARTBEAT)
        connection.execute("INSERT INTO monitor (name, type) VALUES (zeroblob(8000000), 'http')")


def _read(path: Path) -> None:
    with KumaDatabase(path) as database:
        database.set_up()
        list(database.heartbeats(1))


@pytest.mark.parametrize("make", [_text, _other, _endless_view, _truncated, _huge_cell])
def test_what_is_not_its_database_is_refused(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / "kuma.db"
    make(path)

    with pytest.raises(SourceError) as caught:
        _read(path)

    assert str(path) in str(caught.value)


def test_a_missing_file_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file"), KumaDatabase(tmp_path / "kuma.db"):
        pass

    assert not list(tmp_path.iterdir())


def test_a_path_with_odd_characters(tmp_path: Path) -> None:
    folder = tmp_path / "100% ?mode=rwc#x"
    folder.mkdir()
    make_kuma(folder / "kuma.db", [SHOP]).close()

    with KumaDatabase(folder / "kuma.db") as database:
        assert len(database.set_up().monitors) == 1

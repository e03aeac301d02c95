"""`archive_command = 'holdfast wal push ...'`, run by a real PostgreSQL."""

import json
import subprocess
from pathlib import Path

from tests.protected import Protected
from tests.receiving_parts import DATABASE, ReceivingProcess, same_as_server, until, wal_in

from holdfast.adapters.objectstore.regions import open_region


def test_the_server_hands_its_segments_over(tmp_path: Path) -> None:
    stores = {"eu": tmp_path / "eu", "us": tmp_path / "us"}
    params = {"port": "1", "user": "nobody", "password": "none"}
    how = ReceivingProcess(tmp_path / "holdfast", params, stores, mode="archive")
    places = f"-c {how.config} --data-dir {how.folder / 'data'}"
    server = Protected(
        tmp_path / "primary",
        segment_mb=1,
        settings={
            "archive_mode": "on",
            "archive_command": f"{' '.join(how.command)} push {DATABASE} %p {places}",
            "wal_keep_size": "64MB",
        },
    )
    try:
        server.start()
        server.sql("CREATE TABLE jobs AS SELECT generate_series(1, 1000) AS id")
        server.sql("SELECT pg_switch_wal()")
        until(
            lambda: server.value("SELECT archived_count FROM pg_stat_archiver") >= 1, "a handed over segment"
        )
        assert server.value("SELECT failed_count FROM pg_stat_archiver") == 0
        for name, folder in stores.items():
            wal = wal_in(open_region(name, f"file://{folder}", {}))
            assert same_as_server(wal, server.data / "pg_wal") >= 1 << 20
        lonely = server.data / "pg_wal" / "0000000100000000000000EE"
        ended = subprocess.run(
            [*how.command, "push", DATABASE, str(lonely), *places.split(), "--json"],
            capture_output=True,
            text=True,
            env=how.environment,
            check=False,
        )
        assert ended.returncode == 1
        assert "cannot be read" in json.loads(ended.stdout)["error"]
    finally:
        server.remove()

"""A copy whose WAL ends before it is consistent ends with an error, in bounded time."""

from pathlib import Path

import pytest
from tests.protected import DEBIAN_15, Protected
from tests.restorable import Restorable

from holdfast.adapters.postgres.restored import launching, server
from holdfast.backup.errors import RestoreFailed
from holdfast.backup.restore.preflight import Way
from holdfast.backup.restore.recovery import RecoverySettings


@pytest.mark.parametrize("bin_dir", [None, DEBIAN_15], ids=["packaged", "older"])
@pytest.mark.parametrize("tells", [True, False], ids=["tells", "is silent"])
def test_a_copy_that_starves_ends(tmp_path: Path, bin_dir: Path | None, tells: bool) -> None:
    protected = Protected(tmp_path / "protected", bin_dir=bin_dir)
    try:
        protected.start()
        stored = Restorable(protected)
        stored.take()
        restorer = stored.restorer()
        folder = tmp_path / "copy"
        # Laid out without the WAL from its beginning to its end.
        restorer.lay_out(stored.plan_of_files(), folder, Way())
        for segment in (folder / "pg_wal").glob("0" * 7 + "1" + "?" * 16):
            segment.unlink()
        # As before version 15, which says nothing while it waits.
        settings = {} if tells else {"log_min_messages": "panic"}

        with pytest.raises(RestoreFailed, match="is consistent" if tells else "replays nothing any more"):
            server.start(
                folder,
                protected.binaries,
                recovery=RecoverySettings(),
                settings={**settings, "fsync": "off", "shared_buffers": "16MB"},
                stalled_s=600.0 if tells else 3.0,
            )

        assert not launching.in_use(folder)
    finally:
        protected.remove()

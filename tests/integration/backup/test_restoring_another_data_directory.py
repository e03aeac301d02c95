"""A backup whose settings name the protected server's own data directory: a copy never runs on that one."""

from pathlib import Path

from tests.protected import Protected
from tests.restorable import Restorable


def test_a_copy_runs_on_its_own_folder_whatever_its_settings_say(
    protected: Protected, tmp_path: Path
) -> None:
    stored = Restorable(protected)
    protected.sql("CREATE TABLE t AS SELECT 1 AS i")
    with (protected.data / "postgresql.conf").open("a") as settings:
        settings.write(f"data_directory = '{protected.data}'\n")
    stored.take()
    stored.store_wal()
    protected.stop()

    restorer, plan = stored.restorer(), stored.plan()
    restored = restorer.restore(plan, tmp_path / "copy")

    try:
        asked = restored.copy.ask(
            "postgres", "SELECT setting FROM pg_settings WHERE name = 'data_directory'", 60
        )
        assert asked.rows == ((str(tmp_path / "copy"),),)
        assert (tmp_path / "copy" / "postmaster.pid").exists()
    except BaseException:
        restored.copy.stop()
        raise
    restorer.finish(plan, restored, promote=True, keep_running=False)
    told = protected.run(
        *(str(protected.binaries.folder / "postgres"), "-D", str(tmp_path / "copy"), "-C", "data_directory")
    )
    assert told.strip() == str(tmp_path / "copy"), "also when somebody else starts it"

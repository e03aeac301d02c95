"""A disk on which nothing can be written any more, and then again can.

Every process is forbidden to write to files (RLIMIT_FSIZE, setrlimit(2)): writes fail as they do on a full
disk, also for an account without rights.
"""

import contextlib
import resource

from chaos_estate import Watch

from installation import eventually, fetch


def _limit(pid: int, most: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, hard))


def test_a_full_disk_loses_nothing_and_needs_nobody(watch: Watch) -> None:
    installation = watch.installation
    watch.note_what_is_acknowledged()
    for pid in installation.processes():
        _limit(pid, 0)

    # The database cannot write its log, and ends or refuses; the site goes on with what it knows.
    eventually(
        lambda: '"stale":true' in fetch(f"{watch.site}/api/v1/status.json")[1].replace(" ", ""),
        "the site shows that it is not current",
    )
    status, body = fetch(f"{watch.site}/en/")
    assert status == 200
    assert "Live figures are unavailable" in body
    assert watch.up.process.poll() is None, watch.up.said

    def room_again() -> bool:
        for pid in installation.processes():
            _limit(pid, resource.RLIM_INFINITY)
        return installation.postmaster is not None and bool(watch.newest())

    eventually(room_again, "the database runs again")
    watch.until_all_are_heard_of()
    watch.until_the_site_is_current()
    assert not watch.lost()
    assert watch.history().breaches() == []
    assert watch.up.process.poll() is None

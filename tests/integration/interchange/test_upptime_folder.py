"""A real git repository: its log is read, and nothing of its own settings is run."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from upptime_repository import Repository

from holdfast.adapters.imports.upptime import read_addresses, read_config, read_log
from holdfast.availability.model import State
from holdfast.interchange.errors import SourceError
from holdfast.interchange.upptime_history import SiteHistories, records

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOW = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    repository = Repository(tmp_path / "status")
    url = "https://api.example.org"
    repository.record(START, "api", url, "up", 200)
    repository.record(START + timedelta(hours=12), "api", url, "down", 503)
    repository.record(START + timedelta(hours=13), "front-page", "https://example.org", "up", 200)
    repository.record(START + timedelta(hours=14), "api", url, "up", 200)
    return repository


def test_the_history_comes_out_of_the_log(repository: Repository) -> None:
    histories = SiteHistories()
    for record in records(read_log(repository.folder)):
        histories.take(record)

    assert histories.slugs == {"api", "front-page"}
    line = histories.timeline("api", 1, NOW).transitions
    assert [((each.at - START) / timedelta(hours=1), each.state) for each in line] == [
        (0, State.OPERATIONAL),
        (12, State.MAJOR_OUTAGE),
        (14, State.OPERATIONAL),
        (38, State.UNKNOWN),
    ]


def test_the_files_are_read(repository: Repository) -> None:
    assert b"Front Page" in read_config(repository.folder)
    assert read_addresses(repository.folder) == {
        "api": "https://api.example.org",
        "front-page": "https://example.org",
    }


def test_programs_that_the_repository_names_are_not_run(repository: Repository, tmp_path: Path) -> None:
    trap = tmp_path / "ran"
    program = tmp_path / "trap.sh"
    program.write_text(f"#!/bin/sh\ntouch {trap}\ncat\n")
    program.chmod(0o755)
    for key in (
        *("diff.external", "core.fsmonitor", "core.pager", "pager.log", "gpg.program", "diff.trap.textconv"),
        *("diff.trap.command", "core.sshCommand"),
    ):
        repository.git("config", key, str(program))
    repository.git("config", "log.showSignature", "true")
    (repository.folder / ".gitattributes").write_text("*.yml diff=trap\n")

    assert list(read_log(repository.folder))
    assert not trap.exists()


def test_a_folder_inside_another_repository_is_none_itself(repository: Repository) -> None:
    inner = repository.folder / "inner"
    inner.mkdir()

    with pytest.raises(SourceError, match="git cannot read the history"):
        list(read_log(inner))


def test_a_folder_without_a_configuration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="upptimerc"):
        read_config(tmp_path)
    with pytest.raises(SourceError):
        list(read_log(tmp_path / "missing"))
    assert read_addresses(tmp_path) == {}


def test_a_log_that_is_not_read_to_its_end_leaves_no_process(repository: Repository) -> None:
    log = read_log(repository.folder)
    next(log)
    log.close()  # type: ignore[attr-defined]

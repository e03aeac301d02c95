"""Evidence whose process dies in the middle, whose disk is full, and which several record at once."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.recorded import ORIGIN, SIGNER, an_evidence

from holdfast.adapters.postgres.connect import open_pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.errors import DatabaseFull
from holdfast.adapters.postgres.recovery.evidence import PostgresEvidence
from holdfast.adapters.signing.ed25519 import verifies
from holdfast.bootstrap.recovery.evidence_keys import evidence_signer
from holdfast.bootstrap.recovery.sealing import check_log, seal_with
from holdfast.estate.model import Estate
from holdfast.interfaces.cli.recovery.evidence import _write
from holdfast.recovery.errors import EvidenceRefused

if TYPE_CHECKING:
    from conftest import Database

SEAL = seal_with(SIGNER)
PATIENCE_S = 120.0

RECORDING = """
import asyncio, json, os, signal, sys
from tests.recorded import SIGNER, an_evidence
from holdfast.adapters.postgres.connect import open_pool
from holdfast.adapters.postgres.conninfo import Conninfo, Role
from holdfast.adapters.postgres.recovery import evidence
from holdfast.bootstrap.recovery.sealing import seal_with

given = json.loads(sys.stdin.readline())
names = given["names"]

def seal(hashes):
    if given["dies"] == "while it signs":
        os.kill(os.getpid(), signal.SIGKILL)
    return seal_with(SIGNER)(hashes)

def journalled(entry, leaf, told=evidence.journalled):
    if given["dies"] == "before it is committed":
        os.kill(os.getpid(), signal.SIGKILL)
    return told(entry, leaf)

evidence.journalled = journalled

async def record():
    async with open_pool(Conninfo(Role.RECOVERY, given["params"]), "evidence") as pool:
        log = evidence.PostgresEvidence(pool)
        print("ready", flush=True)
        sys.stdin.readline()
        for name in names:
            await log.append(an_evidence(name), seal)

asyncio.run(record())
"""


def recording(database: "Database", names: list[str], dies: str = "") -> "subprocess.Popen[str]":
    """A process that has said it is ready, and begins when it gets another line."""
    process = subprocess.Popen(
        [sys.executable, "-c", RECORDING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    params = dict(database.conninfo(Role.RECOVERY).parameters)
    process.stdin.write(f"{json.dumps({'names': names, 'dies': dies, 'params': params})}\n")
    process.stdin.flush()
    assert process.stdout.readline() == "ready\n"
    return process


def ended(process: "subprocess.Popen[str]") -> int:
    process.communicate("go\n", timeout=PATIENCE_S)
    return process.returncode


async def whole(database: "Database") -> list[str]:
    """The ids in the log, which holds."""
    async with open_pool(database.conninfo(Role.RECOVERY), "evidence") as pool:
        kept = await PostgresEvidence(pool).entries()
    found = check_log(kept, ORIGIN, [SIGNER.key], verifies)
    assert (found.problems, found.signed) == ([], len(kept))
    return [each.id for each in kept]


@pytest.mark.parametrize("dies", ["while it signs", "before it is committed"])
def test_a_process_that_dies_in_the_middle_leaves_nothing_behind(
    migrated_database: "Database", dies: str
) -> None:
    assert ended(recording(migrated_database, ["r1"])) == 0
    assert ended(recording(migrated_database, ["r2"], dies)) == -signal.SIGKILL

    first = an_evidence("r1").id
    assert asyncio.run(whole(migrated_database)) == [first]
    with migrated_database.connect() as connection:
        [(told,)] = connection.execute(
            "SELECT count(*) FROM holdfast.journal WHERE event = 'evidence.recorded'"
        ).fetchall()
    assert told == 1
    assert ended(recording(migrated_database, ["r3", "r2"])) == 0
    assert asyncio.run(whole(migrated_database)) == [first, an_evidence("r3").id, an_evidence("r2").id]


def test_processes_that_record_at_once_make_one_log_and_one_evidence_of_each_run(
    migrated_database: "Database",
) -> None:
    names = [f"r{number}" for number in range(12)]
    processes = [
        recording(migrated_database, names),
        recording(migrated_database, names[::-1]),
        recording(migrated_database, names[6:] + names[:6]),
    ]
    for each in processes:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()
    for each in processes:
        each.communicate(timeout=PATIENCE_S)
        assert each.returncode == 0

    found = asyncio.run(whole(migrated_database))
    assert sorted(found) == sorted(an_evidence(name).id for name in names)


async def test_a_database_whose_disk_is_full_keeps_nothing_and_takes_it_later(
    migrated_database: "Database",
) -> None:
    """The server says so at the last moment: when the journal's row is written."""
    with migrated_database.connect() as owner:
        owner.execute(
            "CREATE FUNCTION public.no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " RAISE EXCEPTION 'No space left on device' USING ERRCODE = 'disk_full'; END $$"
        )
        owner.execute(
            "CREATE TRIGGER no_room BEFORE INSERT ON holdfast.journal EXECUTE FUNCTION public.no_room()"
        )
        async with open_pool(migrated_database.conninfo(Role.RECOVERY), "evidence") as pool:
            log = PostgresEvidence(pool)
            with pytest.raises(DatabaseFull):
                await log.append(an_evidence("r1"), SEAL)
            assert (await log.grown()).size == 0
            owner.execute("DROP TRIGGER no_room ON holdfast.journal")
            kept = await log.append(an_evidence("r1"), SEAL)
    assert kept.leaf == 0
    assert await whole(migrated_database) == [kept.id]


def test_without_room_for_the_key_it_is_said_and_none_is_left_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    estate = Estate.model_construct(recovery=None, ledger=None)

    def full(descriptor: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EvidenceRefused, match="No space left"):
        evidence_signer(estate, tmp_path / "holdfast.yaml", tmp_path / "data")
    assert list((tmp_path / "data" / "keys").iterdir()) == []
    monkeypatch.undo()
    assert (
        evidence_signer(estate, tmp_path / "holdfast.yaml", tmp_path / "data").key.name == "holdfast/evidence"
    )


def test_an_export_for_which_there_is_no_room_leaves_the_file_that_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "evidence.json"
    file.write_bytes(b"as it was")

    def full(descriptor: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        _write(file, b"anew")
    assert [each.name for each in tmp_path.iterdir()] == ["evidence.json"]
    assert file.read_bytes() == b"as it was"
    monkeypatch.undo()
    _write(file, b"anew")
    assert file.read_bytes() == b"anew"

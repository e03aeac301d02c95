"""Who takes the backups: Holdfast, pgBackRest, Barman and `cp -r`, each as its own manual would have it.

Every side may use both cores and compresses with zstd at its lowest level where it can. The peers are given
what makes them quick: pgBackRest bundles, stores increments by blocks and works with two processes.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Protocol, cast

from bench.backup_server import Server
from holdfast.adapters.postgres.restored import server as restored
from holdfast.adapters.postgres.server.initialise import environment
from holdfast.backup.restore.recovery import RecoverySettings

STANZA = "bench"
_PAUSED_WITHIN_S = 300.0
_VERSION = re.compile(r"(\d+)\.(\d+)")
_PGBACKREST_WITH_18 = (2, 57)


class Side(Protocol):
    """Takes backups and restores them; every call tells how many seconds it took."""

    name: str

    def full(self) -> float: ...

    def incremental(self) -> float: ...

    def restore(self, folder: Path) -> float:
        """Lay out the files of the newest backup in an empty folder."""
        ...

    def pitr(self, folder: Path, lsn: str) -> float:
        """Restore to a place in an empty folder, until a query is answered there."""
        ...


class Holdfast:
    """A process of ours that receives WAL meanwhile."""

    name = "Holdfast"

    def __init__(self, server: Server, folder: Path) -> None:
        folder.mkdir()
        (folder / "store").mkdir()
        self._log = (folder / "log").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.backup_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self.phases: list[dict[str, float]] = []
        self.memory_mb: dict[str, float] = {}
        self._tell(
            store=str(folder / "store"),
            spool=str(folder / "spool"),
            params=server.params,
            bin_dir=str(server.binaries.folder),
        )

    def full(self) -> float:
        took = self._do("full")
        self._do("forget")
        return took

    def incremental(self) -> float:
        return self._do("incremental")

    def restore(self, folder: Path) -> float:
        return self._do("restore", folder=str(folder))

    def pitr(self, folder: Path, lsn: str) -> float:
        return self._do("pitr", folder=str(folder), lsn=lsn)

    def warm(self, folder: Path, lsn: str) -> float:
        """A copy that `pitr` left goes on to a later place."""
        return self._do("warm", folder=str(folder), lsn=lsn)

    def close(self) -> None:
        cast("IO[str]", self._process.stdin).close()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        cast("IO[str]", self._process.stdout).close()
        self._log.close()

    def _do(self, what: str, **told: str) -> float:
        self._tell(do=what, **told)
        line = cast("IO[str]", self._process.stdout).readline()
        if not line:
            raise SystemExit(f"Holdfast's side ended:\n{Path(self._log.name).read_text()[-3000:]}")
        answer: dict[str, float] = json.loads(line)
        self.memory_mb[what] = max(self.memory_mb.get(what, 0.0), answer.pop("memory_mb"))
        if len(answer) > 1:
            self.phases.append({"what": what, **answer})  # type: ignore[dict-item]
        return answer.get("took_s", 0.0)

    def _tell(self, **told: Any) -> None:
        sink = cast("IO[str]", self._process.stdin)
        sink.write(json.dumps(told) + "\n")
        sink.flush()


class PgBackRest:
    """Its own processes, started for each command, as cron would."""

    def __init__(self, program: str, folder: Path) -> None:
        folder.mkdir()
        self.name = f"pgBackRest {'.'.join(map(str, pgbackrest_version(program)))}"
        self._program = program
        self._config = folder / "pgbackrest.conf"
        self._folder = folder
        self._server: Server | None = None

    @property
    def archive_command(self) -> str:
        return f"{self._program} --config={self._config} --stanza={STANZA} archive-push %p"

    def adopt(self, server: Server) -> None:
        """Write its configuration; then it may archive."""
        self._server = server
        options = {
            "repo1-path": str(self._folder / "repository"),
            "repo1-retention-full": "1",
            "log-path": str(self._folder),
            "lock-path": str(self._folder / "lock"),
            "log-level-file": "off",
            "log-level-console": "error",
            "start-fast": "y",
            "compress-type": "zst",
            "compress-level": "1",
            "process-max": "2",
        }
        if pgbackrest_version(self._program) >= (2, 46):
            options |= {"repo1-bundle": "y", "repo1-block": "y"}
        lines = ["[global]", *(f"{name}={text}" for name, text in options.items()), f"[{STANZA}]"]
        lines += [f"pg1-path={server.data}", f"pg1-socket-path={server.folder}", "pg1-user=postgres"]
        self._config.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def create(self) -> None:
        self._run("stanza-create")

    def full(self) -> float:
        return self._run("--type=full", "backup")

    def incremental(self) -> float:
        return self._run("--type=incr", "backup")

    def restore(self, folder: Path) -> float:
        folder.mkdir(0o700)  # older ones want it to be there
        return self._run(f"--pg1-path={folder}", "--type=immediate", "restore")

    def pitr(self, folder: Path, lsn: str) -> float:
        began = time.perf_counter()
        folder.mkdir(0o700)
        self._run(f"--pg1-path={folder}", "--type=lsn", f"--target={lsn}", "restore")
        where = f"--config={self._config} --stanza={STANZA} --pg1-path={folder}"
        command = f"{self._program} {where} archive-get %f %p"
        recovered(cast("Server", self._server), folder, lsn, command.replace("%p", '"%p"'))
        return time.perf_counter() - began

    def _run(self, *options: str) -> float:
        return timed([self._program, f"--config={self._config}", f"--stanza={STANZA}", *options])


class Barman:
    """Barman by pg_basebackup, with incremental backups of PostgreSQL 17 and later."""

    def __init__(self, program: str, folder: Path) -> None:
        folder.mkdir()
        told = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
        found = re.search(r"\d+\.\d+(\.\d+)?", told)
        self.name = f"Barman {found[0] if found else '?'}"
        self._program = program
        self._folder = folder
        self._config = folder / "barman.conf"
        self._server: Server | None = None
        self.incoming = folder / "home" / STANZA / "incoming"

    @property
    def archive_command(self) -> str:
        return f"cp %p {self.incoming}/%f.part && mv {self.incoming}/%f.part {self.incoming}/%f"

    def adopt(self, server: Server) -> None:
        self._server = server
        self.incoming.mkdir(parents=True)
        conninfo = " ".join(f"{name}={text}" for name, text in server.params.items())
        options = {
            "description": "bench",
            "conninfo": conninfo,
            "streaming_conninfo": conninfo,
            "backup_method": "postgres",
            "immediate_checkpoint": "true",
            "archiver": "on",
            "streaming_archiver": "off",
            "path_prefix": str(server.binaries.folder),
            "minimum_redundancy": "0",
        }
        lines = ["[barman]", "barman_user = root", f"barman_home = {self._folder / 'home'}"]
        lines += [f"log_file = {self._folder / 'barman.log'}", f"barman_lock_directory = {self._folder}"]
        lines += [f"[{STANZA}]", *(f"{name} = {text}" for name, text in options.items())]
        self._config.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def create(self) -> None:
        # The first segment that arrives makes it ready.
        cast("Server", self._server).archived()
        self._run("archive-wal", STANZA)

    def full(self) -> float:
        took = self._run("backup", STANZA)
        for each in self._ids()[1:]:
            self._run("delete", STANZA, each)
        return took

    def incremental(self) -> float:
        return self._run("backup", "--incremental", "latest", STANZA)

    def restore(self, folder: Path) -> float:
        return self._run("restore", STANZA, "latest", str(folder))

    def pitr(self, folder: Path, lsn: str) -> float:
        began = time.perf_counter()
        self._run("archive-wal", STANZA)
        self._run("restore", "--target-lsn", lsn, STANZA, "latest", str(folder))
        # It laid the WAL out beside the files.
        recovered(cast("Server", self._server), folder, lsn, f'cp {folder}/barman_wal/%f "%p"')
        return time.perf_counter() - began

    def _ids(self) -> list[str]:
        command = [self._program, "-c", str(self._config), "list-backups", "--minimal", STANZA]
        listed = subprocess.run(command, capture_output=True, text=True, check=True)
        # Those that depend on one go with it.
        return [each for each in listed.stdout.split() if each]

    def _run(self, *arguments: str) -> float:
        return timed([self._program, "-c", str(self._config), "-q", *arguments])


class Copy:
    """`cp -r`: no backup at all, and what the disk can do."""

    name = "cp -r"

    def __init__(self, server: Server, folder: Path) -> None:
        self._server = server
        self._folder = folder

    def full(self) -> float:
        self.clear()
        return timed(["cp", "-r", str(self._server.data), str(self._folder)])

    def clear(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def restore(self, folder: Path) -> float:
        return timed(["cp", "-r", str(self._folder), str(folder)])


def timed(command: list[str]) -> float:
    """Seconds that a whole command takes. Ends the bench, with its words, when it fails."""
    began = time.perf_counter()
    # As it runs for an operator, who has PATH and a home.
    known = {**environment(), "HOME": os.environ.get("HOME", "/"), "PGBACKREST_ALLOW_ROOT": "y"}
    ended = subprocess.run(command, capture_output=True, text=True, env=known, check=False)
    took = time.perf_counter() - began
    if ended.returncode != 0:
        raise SystemExit(f"{' '.join(command)}:\n{(ended.stdout + ended.stderr)[-3000:]}")
    return took


def recovered(server: Server, folder: Path, lsn: str, restore_command: str) -> None:
    """Start PostgreSQL on what a peer laid out; returns when it paused at the place and answers."""
    settings = RecoverySettings({"recovery_target_lsn": lsn}, "latest", restore_command)
    copy = restored.start(folder, server.binaries, recovery=settings)
    try:
        until(copy.is_paused)
        if copy.ask("postgres", "SELECT count(*) FROM pg_class", 60).error:
            raise SystemExit("the restored server does not answer")
    finally:
        copy.stop()


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PAUSED_WITHIN_S
    while not holds():
        if time.monotonic() > deadline:
            raise SystemExit("the restored server does not come to its target")
        time.sleep(0.02)


def found_program(variable: str, name: str, own: Path | None = None) -> str | None:
    """From the environment, from PATH, or the bench's own."""
    given = os.environ.get(variable)
    if given:
        return given
    return shutil.which(name) or (str(own) if own is not None and own.exists() else None)


def pgbackrest_version(program: str) -> tuple[int, int]:
    told = subprocess.run([program, "version"], capture_output=True, text=True, check=True).stdout
    match = _VERSION.search(told)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def knows_18(program: str) -> bool:
    """Whether this pgBackRest can keep the packaged PostgreSQL."""
    return pgbackrest_version(program) >= _PGBACKREST_WITH_18

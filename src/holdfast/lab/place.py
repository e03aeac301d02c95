"""The lab's directory: what is kept where, who may read it, and who may work in it.

lock             held by the command at work
state/NAME.json  which process a part is, or how it was broken
log/NAME.log     what a part printed
secrets/         generated once, readable by the owner only
postgres/        the sample service's database
"""

import asyncio
import fcntl
import json
import os
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from holdfast.lab.errors import LabBusyError
from holdfast.lab.model import Damage
from holdfast.lab.processes import Process

LOG_LIMIT_BYTES = 1024 * 1024
LOG_KEPT_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Record:
    """What the lab did to a part: it started `process`, or it damaged the part, at `since` (UTC)."""

    since: datetime
    process: Process | None = None
    damage: Damage | None = None


class Place:
    """One lab's directory. Nothing is created before `prepare`."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.postgres = self.root / "postgres"

    def prepare(self) -> None:
        """Create the directories, readable by the owner only."""
        for directory in (
            self.root.parent,
            self.root,
            *(self.root / name for name in ("state", "log", "secrets")),
        ):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    @asynccontextmanager
    async def locked(self, timeout_s: float, waiting: Callable[[], None]) -> AsyncIterator[None]:
        """Be the only command at work here; `waiting` is called once if another one is. Raises LabBusyError.

        The kernel lets go of the lock when its holder ends, however it ends.
        """
        lock = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            await self._take(lock, timeout_s, waiting)
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.close(lock)

    async def _take(self, lock: int, timeout_s: float, waiting: Callable[[], None]) -> None:
        deadline, told = time.monotonic() + timeout_s, False
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    holder = os.pread(lock, 20, 0).decode(errors="replace").strip() or "unknown"
                    raise LabBusyError(
                        f"another command is at work on the lab in {self.root} (process {holder})",
                        hint="wait until it is done, then try again",
                    ) from None
                if not told:
                    waiting()
                    told = True
                await asyncio.sleep(0.1)
            else:
                return

    def record(self, name: str) -> Record | None:
        """What is recorded about a part. A file that cannot be understood counts as none."""
        try:
            fields = json.loads(self._state_file(name).read_bytes())
            process, damage = fields["process"], fields["damage"]
            return Record(
                since=datetime.fromisoformat(fields["since"]),
                process=Process(int(process["pid"]), int(process["start_ticks"]), str(process["boot_id"]))
                if process
                else None,
                damage=Damage(damage) if damage else None,
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write_record(self, name: str, record: Record) -> None:
        """Replace the record at once and whole."""
        fields = {
            "since": record.since.isoformat(),
            "process": asdict(record.process) if record.process else None,
            "damage": record.damage.value if record.damage else None,
        }
        _replace(self._state_file(name), json.dumps(fields))

    def forget(self, name: str) -> None:
        self._state_file(name).unlink(missing_ok=True)

    def _state_file(self, name: str) -> Path:
        return self.root / "state" / f"{name}.json"

    def log(self, name: str) -> Path:
        """Where a part's output goes. A log beyond its limit keeps its end only."""
        file = self.root / "log" / f"{name}.log"
        with suppress(FileNotFoundError):
            if file.stat().st_size > LOG_LIMIT_BYTES:
                # Written in place: a process that has it open goes on appending.
                kept = self.log_end(name, LOG_KEPT_BYTES)
                file.write_text(kept, encoding="utf-8")
        return file

    def log_end(self, name: str, length: int) -> str:
        """The last `length` bytes of a part's log; empty when there is none."""
        try:
            with (self.root / "log" / f"{name}.log").open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - length))
                return file.read().decode("utf-8", errors="replace")
        except FileNotFoundError:
            return ""

    def secret(self, name: str) -> str:
        """The secret of that name: 43 random characters, made when first asked for, then kept."""
        self.prepare()
        file = self.secret_file(name)
        with suppress(FileNotFoundError):
            return file.read_text(encoding="ascii").strip()
        # A link fails when somebody else was first; then theirs is the secret.
        with tempfile.NamedTemporaryFile("w", dir=file.parent, encoding="ascii") as fresh:
            fresh.write(secrets.token_urlsafe(32) + "\n")
            fresh.flush()
            os.fsync(fresh.fileno())
            with suppress(FileExistsError):
                os.link(fresh.name, file)
        return file.read_text(encoding="ascii").strip()

    def secret_file(self, name: str) -> Path:
        return self.root / "secrets" / name

    def write_secret(self, name: str, text: str) -> Path:
        """Keep a secret that somebody else made, readable by the owner only."""
        file = self.secret_file(name)
        _replace(file, text)
        return file


def _replace(file: Path, text: str) -> None:
    """Write through a temporary file (0600) in the same directory: a reader sees the old text or the new."""
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.replace(temporary, file)  # noqa: PTH105  a plain rename of two names we made
    except BaseException:
        os.unlink(temporary)  # noqa: PTH108
        raise

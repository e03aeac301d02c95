"""A witness whose memory is a folder: for each log a file with the checkpoint that it cosigned last.

A cosignature leaves only when the checkpoint it is for is on the disk. One process at a time works there.
"""

import fcntl
import os
from hashlib import sha256
from pathlib import Path

from holdfast.kernel.clock import Clock
from holdfast.ledger.errors import LogDamaged, WitnessAway
from holdfast.ledger.log.checkpoint import Checkpoint, cosigned
from holdfast.ledger.log.keys import KnownLogs
from holdfast.ledger.log.notes import Signature, Signer, Verifies
from holdfast.ledger.log.witness import Addition, Refused, judged, origin_of


class FolderWitness:
    """Cosigns for the logs whose keys it trusts. `key`'s kind is a cosignature's."""

    def __init__(
        self,
        folder: Path,
        signer: Signer,
        logs: KnownLogs,
        verifies: Verifies,
        clock: Clock,
    ) -> None:
        """Raises WitnessAway when another process works in the folder."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._signer = signer
        self._logs = logs
        self._verifies = verifies
        self._clock = clock
        self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise WitnessAway(f"another witness works in {folder}") from error

    def close(self) -> None:
        os.close(self._lock)

    def add(self, addition: Addition) -> Signature | Refused:
        """The cosignature, or why there is none. Not for two threads at once."""
        origin = origin_of(addition.checkpoint)
        answer = judged(addition, self.newest(origin), self._logs.get(origin), self._verifies)
        if isinstance(answer, Refused):
            return answer
        self._keep(answer.checkpoint)
        return cosigned(answer.note, self._signer, self._clock.now())

    def newest(self, origin: str) -> Checkpoint | None:
        """What it cosigned last. Raises LogDamaged when that cannot be read: better none than a blind one."""
        path = self._path(origin)
        try:
            return Checkpoint.parsed(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise LogDamaged(f"the witness cannot read {path}: {error}") from error

    def _keep(self, checkpoint: Checkpoint) -> None:
        path = self._path(checkpoint.origin)
        fresh = path.with_suffix(".new")
        with fresh.open("w", encoding="utf-8") as sink:
            sink.write(checkpoint.body)
            sink.flush()
            os.fsync(sink.fileno())
        fresh.rename(path)
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _path(self, origin: str) -> Path:
        return self._folder / f"{sha256(origin.encode()).hexdigest()}.checkpoint"

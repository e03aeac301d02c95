"""A verifier of what is stored of a protected server, and everything that it told."""

from collections.abc import Mapping
from pathlib import Path

from tests.restorable import CLOCK, DATABASE, Restorable

from holdfast.adapters.postgres.restored.machine import LocalMachine
from holdfast.backup.ports import Region
from holdfast.backup.verify.looking import Wanted
from holdfast.backup.verify.verification import Verification
from holdfast.backup.verify.verified_points import NEWEST, Point
from holdfast.backup.verify.verifying import Verifier
from holdfast.kernel.journal import JournalEntry


class Verified:
    """Verifies into `folder`; `events` are the entries for the journal."""

    def __init__(self, stored: Restorable, folder: Path, region: Region | None = None) -> None:
        self.events: list[JournalEntry] = []
        machine = LocalMachine(
            stored.server.binaries.folder, settings={"fsync": "off", "shared_buffers": "16MB"}
        )
        self.verifier = Verifier(
            DATABASE,
            region or stored.regions[0],
            stored.regions,
            stored.packer,
            machine,
            folder,
            CLOCK,
            self.events.append,
        )

    def newest(
        self,
        checks: Mapping[str, str] | None = None,
        newest: Mapping[str, str] | None = None,
        *,
        fresh: bool = False,
        timeout_s: float = 60.0,
    ) -> Verification:
        wanted = Wanted("postgres", checks or {}, newest or {}, timeout_s)
        return self.verifier.verify(NEWEST, wanted, fresh=fresh)

    def point(self, point: Point, checks: Mapping[str, str] | None = None) -> Verification:
        return self.verifier.verify(point, Wanted("postgres", checks or {}))

    @property
    def told(self) -> list[str]:
        return [each.event for each in self.events]

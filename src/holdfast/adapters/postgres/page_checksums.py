"""Reads every page of a copy that was shut down, by PostgreSQL's own `pg_checksums`.

A page may be torn in a backup: it was read while the server wrote it. WAL holds the whole page, and replay
puts it right, in memory first. So a page that does not fit is damage only when no WAL that the copy has
replayed, and not yet written out, holds it whole: `pg_waldump` tells.
Source: PostgreSQL `src/bin/pg_checksums/pg_checksums.c`, `src/backend/access/rmgrdesc/xlogdesc.c`.
"""

import os
import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from holdfast.adapters.postgres.server.binaries import Binaries
from holdfast.adapters.postgres.server.confinement import Confinement
from holdfast.backup.lsn import format_lsn
from holdfast.backup.verify.verification import PagesChecked
from holdfast.backup.verify.verifying import WalSpan

MOST_NAMED = 100
LONGEST_S = 6 * 3600.0
_BAD = re.compile(r'checksum verification failed in file "(?P<file>[^"]+)", block (?P<block>\d+):')
_COUNT = re.compile(r"^(?P<what>Files scanned|Blocks scanned|Bad checksums):\s+(?P<count>\d+)", re.MULTILINE)
_FILE = re.compile(
    r"(?:(?P<global>global)|base/(?P<database>\d+)|pg_tblspc/(?P<space>\d+)/[^/]+/(?P<spaced>\d+))/"
    r"(?P<relation>\d+)(?:_(?P<fork>fsm|vm|init))?(?:\.(?P<segment>\d+))?"
)
_WHOLE = re.compile(r"rel (\d+)/(\d+)/(\d+)(?: fork (\w+))? blk (\d+) (?:\([^)]*\) )?FPW")
_DEFAULT_SPACE, _GLOBAL_SPACE = 1663, 1664
_PAGES_OF_A_FILE = 131072

Page = tuple[int, int, int, str, int]
"""Tablespace, database, relation's file, fork, block: as WAL names it."""


class PageChecksums:
    """Checks the pages of a folder with the programs that the copy ran on."""

    def __init__(self, binaries: Binaries, confinement: Confinement) -> None:
        self._folder = binaries.folder
        self._prefix = confinement.prefix

    def checked(self, data: Path, replayed: WalSpan | None) -> PagesChecked:
        """Read all pages. The server must have been shut down cleanly. `replayed` is None when all of it has
        been written out. Never raises for what it finds: `why_not` says why nothing was found.
        """
        program = self._folder / "pg_checksums"
        if not os.access(program, os.X_OK):
            return PagesChecked(f"there is no pg_checksums in {self._folder}")
        try:
            ended = subprocess.run(
                [*self._prefix, str(program), "--check", "-D", str(data)],
                capture_output=True,
                text=True,
                errors="replace",
                env={"LC_ALL": "C", "PATH": os.defpath},
                timeout=LONGEST_S,
                check=False,
            )
        except (OSError, subprocess.SubprocessError) as error:
            return PagesChecked(f"pg_checksums: {error}")
        counts = {match["what"]: int(match["count"]) for match in _COUNT.finditer(ended.stdout)}
        if "Bad checksums" not in counts:
            said = (ended.stderr.strip().splitlines() or [f"it ended with {ended.returncode}"])[-1]
            return PagesChecked(said.removeprefix("pg_checksums: error: "))
        return self._judged(data, counts, list(bad_pages(ended.stderr)), replayed)

    def _judged(
        self, data: Path, counts: dict[str, int], bad: list[tuple[str, int]], replayed: WalSpan | None
    ) -> PagesChecked:
        pages = {(path, block): page_of(path.removeprefix(f"{data}/"), block) for path, block in bad}
        # A free space map is not logged; PostgreSQL empties a page of it that does not fit.
        wanted = {page for page in pages.values() if page is not None and page[3] != "fsm"}
        whole = self._whole_in(replayed, wanted) if wanted and replayed is not None else set()
        damaged = [
            f"{path.removeprefix(f'{data}/')} block {block}"
            for (path, block), page in pages.items()
            if page is None or (page[3] != "fsm" and page not in whole)
        ]
        return PagesChecked(
            "",
            counts.get("Files scanned", 0),
            counts.get("Blocks scanned", 0),
            tuple(damaged[:MOST_NAMED]),
            len(damaged),
            len(pages) - len(damaged),
        )

    def _whole_in(self, span: WalSpan, wanted: set[Page]) -> set[Page]:
        """Which of these pages stand whole in the WAL; none of them where that cannot be read."""
        program = self._folder / "pg_waldump"
        command = [*self._prefix, str(program), "--path", str(span.folder), "--fullpage"]
        command += ["--timeline", str(span.timeline), "--start", format_lsn(span.start)]
        command += ["--end", format_lsn(span.end)]
        found: set[Page] = set()
        try:
            with subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                errors="replace",
                env={"LC_ALL": "C", "PATH": os.defpath},
            ) as dump:
                for line in dump.stdout or ():
                    found |= wanted & set(whole_pages(line))
        except OSError:
            return set()
        return found


def bad_pages(told: str) -> Iterator[tuple[str, int]]:
    """The files and blocks that pg_checksums names. Pure."""
    for match in _BAD.finditer(told):
        yield match["file"], int(match["block"])


def page_of(path: str, block: int) -> Page | None:
    """How WAL names a block of the file at `path`, below the data directory. Pure."""
    match = _FILE.fullmatch(path)
    if match is None:
        return None
    if match["global"]:
        space, database = _GLOBAL_SPACE, 0
    elif match["database"]:
        space, database = _DEFAULT_SPACE, int(match["database"])
    else:
        space, database = int(match["space"]), int(match["spaced"])
    number = int(match["segment"] or 0) * _PAGES_OF_A_FILE + block
    return space, database, int(match["relation"]), match["fork"] or "main", number


def whole_pages(line: str) -> Iterable[Page]:
    """The pages that a line of `pg_waldump` says are in a record as a whole. Pure."""
    for space, database, relation, fork, block in _WHOLE.findall(line):
        yield int(space), int(database), int(relation), fork or "main", int(block)

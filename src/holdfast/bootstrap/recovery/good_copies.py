"""The last good point of a database, and a copy of it that runs: found once for each run, and remembered.

DATA_DIR/recovery/RUN/check.sql
DATA_DIR/recovery/RUN/copy-EPOCH-TURN/     of each attempt; an attempt that broke off may have left one
DATA_DIR/recovery/RUN/found.json           what the attempt found that came to its end: written last
"""

import asyncio
import os
import re
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from holdfast.adapters.postgres.recovery.damaged_sessions import answers, promote, replayed, with_database
from holdfast.adapters.postgres.replication.probing import LocalStandbys
from holdfast.backup.lsn import Lsn, parse_lsn
from holdfast.bootstrap.recovery.commanded import commanded
from holdfast.bootstrap.recovery.stored_wal import WITHIN_S
from holdfast.interfaces.cli.ports import Place
from holdfast.recovery.errors import StepFailed
from holdfast.recovery.ports import Fence

STILL_GOOD = "still good"
NOTHING_FOUND = 3
"""The code of `find-good` when there is no last good point in what was searched."""
_RUN = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Log:
    """Production's log, as it was when a search began."""

    written: Lsn
    stored: Callable[[float], Awaitable[bool]]
    """Whether it is stored up to there, after so many seconds at most."""


class GoodCopy(msgspec.Struct, frozen=True, kw_only=True):
    """A copy of the server at the last good point. It runs, and only reads."""

    conninfo: str
    """Of a socket on this machine."""
    folder: str
    in_log: bool
    """Whether the damage is in the log; else the log is good to its end, and so is the copy."""
    tables: tuple[str, ...] = ()
    """What the first bad commit touched."""
    bad: tuple[int, ...] = ()
    """The transactions of it."""
    last_good: str = ""
    first_bad: str = ""
    """For people."""
    until: str = ""
    """The moment of the last good commit, ISO 8601."""
    complete: bool | None = None
    """Whether everything that was committed when it was made is in it; None is unknown."""


_FOUND = msgspec.json.Decoder(GoodCopy)


class GoodCopies:
    """On this machine, for one run."""

    def __init__(self, place: Place, run: str, bin_dir: Path | None) -> None:
        if not _RUN.fullmatch(run):
            raise StepFailed(f"{run!r} is no run")
        self._place = place
        self._folder = place.data_dir.absolute() / "recovery" / run
        self._bin_dir = bin_dir

    async def found(self, dbname: str) -> GoodCopy | None:
        """What was found, while the copy answers."""
        try:
            copy = _FOUND.decode((self._folder / "found.json").read_bytes())
        except (OSError, msgspec.MsgspecError):
            return None
        there = replace(copy, conninfo=with_database(copy.conninfo, dbname))
        return there if await asyncio.to_thread(answers, there.conninfo) else None

    async def find(
        self, database: str, check: str, fence: Fence, options: Sequence[str], log: Log | None = None
    ) -> None:
        """Search, and leave the copy. What other attempts left is cleared away first.

        `log`: production's, so that it can be told whether all of it was searched.
        """
        await self.clear()
        self._folder.mkdir(mode=0o700, parents=True)
        file = self._folder / "check.sql"
        file.write_text(check, encoding="utf-8")
        copy = self._folder / f"copy-{fence.epoch}-{fence.turn}"
        where = ["--config", str(self._place.config), "--data-dir", str(self._place.data_dir)]
        search = ["find-good", database, "--check", str(file), "--leave", str(copy), *options, *where]
        all_of_it = log is not None and await log.stored(0)
        told = await self._searched(search, copy)
        if told["ending"] == STILL_GOOD and log is not None and not all_of_it and await log.stored(WITHIN_S):
            # The bad transaction may be in what was not stored yet.
            told = await self._searched(search, copy)
        if told["ending"] == "never good":
            raise StepFailed(
                "the check was true at no moment that can be restored",
                hint="let --between begin earlier, and see that the check is true on data that is well",
            )
        if told["copy"] is None:
            # All that was ever committed is good: a disk, or somebody beside PostgreSQL, did the damage.
            region = ["--region", str(told["region"])]
            newest = ["--at", "latest", "--to", str(copy), "--keep-running"]
            restored = await commanded(["restore", database, *newest, *region, *where])
            left = GoodCopy(conninfo=str(restored["running"]), folder=str(copy), in_log=False)
            left = replace(left, complete=await asyncio.to_thread(_complete, left.conninfo, log))
        else:
            left = _of(told)
            # At the end of its log the bad transaction is under way yet, with its locks: nobody could read a
            # table that it drops. A server that leaves recovery takes it back.
            await asyncio.to_thread(promote, left.conninfo)
        self._remember(left)

    async def _searched(self, search: Sequence[str], copy: Path) -> Mapping[str, Any]:
        """What a search says. A log that is good at its end may tell of damage that was mended long ago, and
        leave a copy from before it: that is not what is looked for.
        """
        told = await commanded(search, also={NOTHING_FOUND})
        if told["ending"] != STILL_GOOD or told["copy"] is None:
            return told
        await asyncio.to_thread(LocalStandbys(self._bin_dir).end_leftover, copy)
        await asyncio.to_thread(shutil.rmtree, copy, ignore_errors=True)
        return {**told, "copy": None}

    async def clear(self) -> None:
        """End all copies of the run, and remove their files."""
        await asyncio.to_thread(self._clear)

    def _clear(self) -> None:
        standbys = LocalStandbys(self._bin_dir)
        for copy in sorted(self._folder.glob("copy-*")):
            standbys.end_leftover(copy)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _remember(self, copy: GoodCopy) -> None:
        fresh = self._folder / "found.json.new"
        with fresh.open("wb") as file:
            file.write(msgspec.json.encode(copy))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._folder / "found.json")


def _complete(conninfo: str, log: Log | None) -> bool | None:
    reached = replayed(conninfo)
    return None if log is None or reached is None else parse_lsn(reached) >= log.written


def _of(told: Mapping[str, Any]) -> GoodCopy:
    good, bad = told["last_good"], told["first_bad"]
    return GoodCopy(
        conninfo=told["copy"]["conninfo"],
        folder=told["copy"]["folder"],
        in_log=True,
        tables=tuple(each["table"] for each in bad["tables"]),
        bad=(bad["xid"], *bad["subxids"]),
        last_good=_words(good),
        first_bad=_words(bad),
        until="" if good is None else str(good["at"]),
    )


def _words(commit: Mapping[str, Any] | None) -> str:
    if commit is None:
        return "where the search began"
    tables = ", ".join(each["table"] for each in commit["tables"])
    kind = f", {commit['statement']} of {tables}" if tables else ""
    return f"transaction {commit['xid']} at {commit['at']} ({commit['lsn']}){kind}"

"""The actions that undo damage to a database's data.

data.freeze      the database only reads, so that nothing more is damaged   {frozen, writers}
data.thaw        it is written to again
data.find-good   the last good point, and a copy of it that runs beside production
data.release     that copy is gone
data.compare     what is damaged, and what putting it back would change and lose
data.keep        the damaged tables as they are, for those who look into it
data.salvage     the tables are put back, or the whole database changes places with the copy's
data.verify      the check is true in production

Each is given the subject (a database of the estate) and the run; what it remembers it remembers by run.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from holdfast.adapters.postgres.recovery.damaged import DamagedDatabase, Wanted
from holdfast.adapters.postgres.restored.extracting_databases import replace_database
from holdfast.adapters.postgres.restored.programs import Programs
from holdfast.backup.lsn import parse_lsn
from holdfast.bootstrap.recovery.damaged_subject import UNKNOWN, OnDamaged, check_of
from holdfast.bootstrap.recovery.good_copies import GoodCopy, Log
from holdfast.bootstrap.recovery.stored_wal import stored_until
from holdfast.bootstrap.recovery.surroundings import Surroundings
from holdfast.recovery.coming_about import come_about
from holdfast.recovery.errors import StepFailed
from holdfast.recovery.ports import Action, Fence, Found
from holdfast.recovery.salvage import Compared, Way, loss_of, told, way_for

LONGEST_FOUND = 20_000
_WORDS = {
    Way.ROWS.value: "{} rows that were damaged or gone",
    Way.REPLACE.value: "{} rows, all of them replaced",
    Way.CREATE.value: "{} rows, the table made again",
    Way.NOTHING.value: "nothing, it was as it should be",
}


def corruption_actions(around: Surroundings) -> Mapping[str, Action]:
    """By name."""
    return {
        "data.freeze": Freezing(around, "freeze"),
        "data.thaw": Freezing(around, "thaw"),
        "data.find-good": Searching(around),
        "data.release": Releasing(around),
        "data.compare": Comparing(around),
        "data.keep": Keeping(around),
        "data.salvage": Salvaging(around),
        "data.verify": Checking(around),
    }


@dataclass(frozen=True, slots=True)
class Freezing(OnDamaged):
    """A database only reads, or is written to again. Not wanted (`wanted` is not `yes`) it does nothing."""

    to: str
    wants = frozenset({"run"})
    finds = frozenset({"frozen", "writers"})

    async def observe(self, given: Mapping[str, str]) -> Found | None:
        if given.get("wanted", "yes") != "yes":
            return {"frozen": "no", "writers": UNKNOWN}
        frozen = await asyncio.to_thread(self.damaged(given).frozen, given["run"]) is not None
        if frozen != (self.to == "freeze"):
            return None
        return await self._found(given)

    async def act(self, given: Mapping[str, str], fence: Fence) -> None:
        damaged = self.damaged(given)
        done = damaged.freeze if self.to == "freeze" else damaged.thaw
        await asyncio.to_thread(done, given["run"], fence)

    async def verify(self, given: Mapping[str, str]) -> Found:
        return come_about(await self.observe(given), f"the database could not be set to {self.to}")

    async def _found(self, given: Mapping[str, str]) -> Found:
        if self.to == "thaw":
            return {"frozen": "no", "writers": UNKNOWN}
        return {"frozen": "yes", "writers": str(await asyncio.to_thread(self.damaged(given).writers))}


@dataclass(frozen=True, slots=True)
class Searching(OnDamaged):
    """The last good point is known, and a copy of it runs. `check`: SQL, as a JSON text."""

    took: dict[str, float] = field(default_factory=dict)
    wants = frozenset({"run", "check"})
    finds = frozenset(
        {
            "copy",
            "folder",
            "tables",
            "last_good",
            "first_bad",
            "until",
            "in_log",
            "complete",
            "phase.find-good",
        }
    )

    async def observe(self, given: Mapping[str, str]) -> Found | None:
        found = await self.copies(given).found(self.params(given)["dbname"])
        if found is None:
            return None
        took = self.took.get(given["run"])
        return {
            "copy": found.conninfo,
            "folder": found.folder,
            "tables": ",".join(found.tables),
            "last_good": found.last_good or "all that was committed is good: the damage is beside the log",
            "first_bad": found.first_bad,
            "until": found.until,
            "in_log": "yes" if found.in_log else "no",
            "complete": _yes_no(found.complete),
            "phase.find-good": UNKNOWN if took is None else f"{took:.3f}",
        }

    async def act(self, given: Mapping[str, str], fence: Fence) -> None:
        options = ["--dbname", self.params(given)["dbname"]]
        if given.get("tables"):
            options += ["--tables", given["tables"]]
        if given.get("since") or given.get("until"):
            if not (given.get("since") and given.get("until")):
                raise StepFailed("a search has a beginning and an end, or neither")
            options += ["--between", given["since"], given["until"]]
        if given.get("region"):
            options += ["--region", given["region"]]
        began = time.monotonic()
        await self.copies(given).find(
            given["subject"], check_of(given), fence, options, await self._log(given)
        )
        self.took[given["run"]] = time.monotonic() - began

    async def verify(self, given: Mapping[str, str]) -> Found:
        return come_about(await self.observe(given), "the good copy does not answer")

    async def _log(self, given: Mapping[str, str]) -> Log | None:
        """None where production cannot be asked: it may be damaged as much as that."""
        try:
            text, _ = await asyncio.to_thread(self.damaged(given).written)
        except StepFailed:
            return None
        if text is None:
            return None
        written = parse_lsn(text)
        subject, region = given["subject"], given.get("region", "")
        return Log(written, lambda within_s: stored_until(self.around, subject, region, written, within_s))


@dataclass(frozen=True, slots=True)
class Releasing(OnDamaged):
    """The copy of the run is gone."""

    wants = frozenset({"run"})
    finds = frozenset[str]()

    async def observe(self, given: Mapping[str, str]) -> Found | None:
        del given
        return None

    async def act(self, given: Mapping[str, str], fence: Fence) -> None:
        del fence
        await self.copies(given).clear()

    async def verify(self, given: Mapping[str, str]) -> Found:
        del given
        return {}


@dataclass(frozen=True, slots=True)
class Comparing(OnDamaged):
    """What is damaged is told, and what putting it back would lose. Looks, and changes nothing."""

    wants = frozenset({"run"})
    finds = frozenset({"told", "back", "kept", "lost", "way"})

    async def observe(self, given: Mapping[str, str]) -> Found | None:
        copy = await self.copy(given)
        if not copy.in_log and copy.complete is False and given.get("way") != "database":
            raise StepFailed(
                "all that is stored of the log is good, and not all of it is stored",
                hint="the damage may be in the rest: begin again when `holdfast backup points` shows a later "
                "moment; or with --way database, and lose what was written since then",
            )
        if given.get("way") == "database" or not copy.in_log:
            return _whole_database(copy)
        wanted = self.wanted(given, copy)
        found = await asyncio.to_thread(self.damaged(given).compare, wanted)
        if not any(way_for(each, replace=wanted.replace).value != "nothing" for each in found):
            raise StepFailed(
                "there is nothing to put back: these tables are as they were",
                hint="name the damaged ones with --tables, or put all of their rows back with --way replace",
            )
        return _compared(found, wanted)

    async def act(self, given: Mapping[str, str], fence: Fence) -> None:
        """Nothing to do: it was told."""

    async def verify(self, given: Mapping[str, str]) -> Found:
        return await self.observe(given) or {}


@dataclass(frozen=True, slots=True)
class Keeping(OnDamaged):
    """The damaged tables are kept as they are now; a whole database is kept by what puts it back."""

    wants = frozenset({"run"})
    finds = frozenset({"kept"})

    async def observe(self, given: Mapping[str, str]) -> Found | None:
        copy = await self.copy(given)
        if given.get("way") == "database" or not copy.in_log:
            return {"kept": "the whole database, under another name"}
        kept = await asyncio.to_thread(self.damaged(given).kept, given["run"])
        return None if kept is None else {"kept": ", ".join(kept.values()) or "nothing: no table is there"}

    async def act(self, given: Mapping[str, str], fence: Fence) -> None:
        wanted = self.wanted(given, await self.copy(given))
        await asyncio.to_thread(self.damaged(given).keep, given["run"], wanted.tables, fence)

    async def verify(self, given: Mapping[str, str]) -> Found:
        return come_about(await self.observe(given), "the damaged tables were not kept")


@dataclass(frozen=True, slots=True)
class Salvaging(OnDamaged):
    """What was damaged is as it was, and what came later is still there."""

    wants = frozenset({"run"})
    finds = frozenset({"what", "put_back", "lost_rows"})

    async def observe(self, given: Mapping[str, str]) -> Found | None:
        done = await asyncio.to_thread(self.damaged(given).salvaged, given["run"])
        return None if done is None else _salvaged(done)

    async def act(self, given: Mapping[str, str], fence: Fence) -> None:
        copy, damaged = await self.copy(given), self.damaged(given)
        if given.get("way") == "database" or not copy.in_log:
            await asyncio.to_thread(self._swap, given, copy, damaged, fence)
        else:
            await asyncio.to_thread(damaged.salvage, given["run"], self.wanted(given, copy), fence)

    async def verify(self, given: Mapping[str, str]) -> Found:
        return come_about(await self.observe(given), "nothing was put back")

    def _swap(self, given: Mapping[str, str], copy: GoodCopy, damaged: DamagedDatabase, fence: Fence) -> None:
        """The copy's database takes the name of the damaged one, which is kept under another.

        The new one is told that it was done behind the change: who dies in between finds it whole, and does
        it once more, which comes to the same. No fence can be held while names change, since no session may
        be in there; so they change only if it is still the one that was announced behind the fence.
        """
        params = self.params(given)
        announced = damaged.announce(fence)
        frozen = damaged.frozen(given["run"])
        # It may only read by now, and so would what is loaded beside it.
        params["options"] = "-c default_transaction_read_only=off"
        binaries = Programs(self.bin_dir(given)).binaries.folder
        swapped = replace_database(
            copy.conninfo,
            params["dbname"],
            binaries,
            params,
            self.around.clock.now(),
            last=announced.see_that_it_is_the_same,
        )
        told = {"database": {"way": "database", "kept_as": swapped.kept_as, "left_out": swapped.left_out}}
        damaged.swapped(given["run"], told, frozen, fence)


@dataclass(frozen=True, slots=True)
class Checking(OnDamaged):
    """The check is true in production."""

    wants = frozenset({"run", "check"})
    finds = frozenset({"invariant.check"})

    async def observe(self, given: Mapping[str, str]) -> Found | None:
        answer = await asyncio.to_thread(self.damaged(given).ask, check_of(given))
        if answer is not True:
            said = "it is false" if answer is False else "it cannot be answered"
            raise StepFailed(
                f"the check is not true in production: {said}",
                hint="more than the first bad transaction did damage: start again with --way replace",
            )
        return {"invariant.check": "holds"}

    async def act(self, given: Mapping[str, str], fence: Fence) -> None:
        """Nothing to do: it was asked."""

    async def verify(self, given: Mapping[str, str]) -> Found:
        return await self.observe(given) or {}


def _yes_no(known: bool | None) -> str:
    return UNKNOWN if known is None else "yes" if known else "no"


def _compared(found: Sequence[Compared], wanted: Wanted) -> Found:
    loss = loss_of(found, replace=wanted.replace, again=wanted.again)
    return {
        "told": told(found, replace=wanted.replace, again=wanted.again)[:LONGEST_FOUND],
        "back": str(loss.back),
        "kept": str(loss.kept),
        "lost": UNKNOWN if loss.lost is None else str(loss.lost),
        "way": "replace" if wanted.replace else "rows",
    }


def _whole_database(copy: GoodCopy) -> Found:
    since = f"since {copy.until}" if copy.until else "since the newest WAL that is stored"
    lost = f"what was written {since} is lost, unless the database only reads"
    if not copy.in_log:
        lost = "all that was committed is in the copy, up to the newest WAL that is stored"
    if copy.complete is not None:
        also = "" if copy.complete else "not "
        lost += f"; that is {also}everything that was committed when the search began"
    return {
        "told": f"the whole database changes places with the copy's; {lost}",
        "back": UNKNOWN,
        "kept": UNKNOWN,
        "lost": "0" if copy.complete and not copy.in_log else UNKNOWN,
        "way": "database",
    }


def _salvaged(done: Mapping[str, Any]) -> Found:
    lines = list[str]()
    for table, each in done.items():
        if each["way"] == "database":
            lines.append(f"the whole database; the damaged one is {each['kept_as']} now, until you drop it")
            continue
        left_out = each.get("left_out") or ()
        lost = f"; left out: {'; '.join(left_out)}" if left_out else ""
        lines.append(f"{table}: {_WORDS[each['way']].format(each['rows'])}{lost}")
    tables = "1 table" if len(done) == 1 else f"{len(done)} tables"
    return {
        "what": "the whole database" if "database" in done else tables,
        "put_back": "\n".join(lines)[:LONGEST_FOUND],
        "lost_rows": UNKNOWN,
    }

"""One round after the other: region A is lost under load, B takes over, and A is rebuilt and led back to."""

import asyncio
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta

import psycopg
from tests.chaos.ledger_loss import WHEN_FLUSHED, Source
from tests.chaos.ledger_process_serving import ProcessServing
from tests.chaos.ledger_serving import TENANT
from tests.chaos.ledger_whole import Whole, whole_log
from tests.chaos.region_ledger import RegionLedger
from tests.regions import ADDRESSES, TwoRegions, Users

from holdfast.adapters.patroni.rest import Away, Login, ask
from holdfast.lab import Damage
from holdfast.lab.regions import layout as at
from holdfast.lab.regions.lab import RegionsLab
from holdfast.ledger.log.checkpoint import Checkpoint
from holdfast.ledger.log.notes import Note
from holdfast.recovery.model import Run

SOURCES = 2
LEAST = 20
"""Jobs, and entries, that are acknowledged before anything happens, in each round."""
LEAD_S = 2.5
"""For so long at most the region lives on behind the cut. Later on it would be told that it is alone."""
MEANT_TO_LOSE_S = (0.5, 1.5)
PATIENCE_S = 120.0
HOME, OTHER = "a", "b"
_ASKED_WITHIN = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class HowLost:
    """How the link is cut, and what an acknowledgement waits for."""

    namespaces: bool = False
    acknowledged: str = WHEN_FLUSHED

    @property
    def safe(self) -> bool:
        return self.acknowledged == WHEN_FLUSHED

    def __str__(self) -> str:
        return f"{'links' if self.namespaces else 'senders'} cut, acknowledged {self.acknowledged}"


@dataclass(frozen=True, slots=True)
class RegionOutcome:
    """What one round came to."""

    cut: str
    jobs: int
    """Acknowledged to users, over the whole round."""
    lost_jobs: int
    """Of those that were acknowledged up to the failover's end, missing in the other region."""
    entries: int
    lost_entries: int
    """Of the acknowledged ones: not there, or others stand under their leaves."""
    doubled: int
    """Jobs that are there more than once."""
    playbook: str
    away_s: float
    """From the kill to a user's first write in the other region."""
    took_s: float
    stated: int
    """Transactions in the loss statement of the old primary's tail."""
    stated_entries: int
    """Entries of the ledger in it."""
    back: str
    """What the steps of the way back took, in seconds."""

    def __str__(self) -> str:
        return (
            f"{self.cut}: {self.jobs} jobs, {self.lost_jobs} lost; {self.entries} entries, "
            f"{self.lost_entries} lost; {self.doubled} doubled; {self.playbook}, "
            f"away for {self.away_s:.1f} s; {self.stated} transactions and {self.stated_entries} entries "
            f"in the tail; {self.took_s:.0f} s (back: {self.back})"
        )


@dataclass(slots=True)
class RegionRounds:
    """Losses of region A, one after the other."""

    regions: TwoRegions
    ledger: RegionLedger
    how: HowLost
    seed: int
    handed_out: set[str] = field(default_factory=set)
    """Every checkpoint that anybody ever saw."""
    jobs: set[str] = field(default_factory=set)
    """Every job that a user was told of, but those that are known to be lost."""
    _number: int = 0
    _sources: list[Source] = field(default_factory=list)
    _lab: RegionsLab = field(init=False)

    def __post_init__(self) -> None:
        self._sources = [Source(f"s{n}", random.Random(f"{self.seed} {n}")) for n in range(SOURCES)]
        installation = self.regions.installation
        self._lab = RegionsLab(installation.data_dir / "lab" / "regions", base_port=self.regions.base)

    async def prepare(self) -> None:
        """The ledger is there, and A leads."""
        await self.ledger.prepare([source.name for source in self._sources])
        await _until(self._led_home, f"{HOME} leads")

    async def _led_home(self) -> bool:
        """Whether A leads. A new lab's first leader is whoever was quicker: else it hands over, by hand."""
        with suppress(Away):
            view = (await ask("GET", self._url("w", at.PATRONI, "/view"), _ASKED_WITHIN)).content
            leader, sync = view.get("leader"), view.get("sync")
            if isinstance(leader, dict) and leader["name"] == HOME:
                return True
            if isinstance(sync, dict) and sync.get("standby") == HOME:
                await self._told_patroni(OTHER, "POST", "/switchover", {"leader": OTHER, "candidate": HOME})
        return False

    async def _waiting(self, leader: str, *, wait: bool) -> None:
        """Commits wait for the other region, as they do from the first, or for nobody."""
        if not self.how.safe:
            await self._told_patroni(leader, "PATCH", "/config", {"synchronous_mode": wait})

    async def _told_patroni(self, region: str, method: str, path: str, body: dict[str, object]) -> None:
        login = Login("holdfast", self._lab.secret_file("regions-rest").read_text().strip())
        url = self._url(region, at.PATRONI, path)
        answer = await ask(method, url, timedelta(seconds=30), body=body, login=login)
        assert answer.status == 200, answer

    async def round(self) -> RegionOutcome:
        """One loss, and the way back."""
        self._number += 1
        began, dice = time.monotonic(), random.Random(f"{self.seed} round {self._number}")
        for source in self._sources:
            source.acknowledged = []
        await self._waiting(HOME, wait=self.how.safe)
        await self._until_paired()
        known = {run.id for run in await asyncio.to_thread(self.regions.runs_seen)}
        with self._users(HOME) as in_a, self._users(OTHER) as in_b:
            cut, killed = await self._lose(dice, lambda: len(in_a.acknowledged | in_b.acknowledged))
            playbook = await asyncio.to_thread(self._failed_over, known)
            first = await asyncio.to_thread(in_b.first_write_after, killed)
            told = in_a.acknowledged | in_b.acknowledged
            lost_jobs, doubled = await self._missing(told)
            self.jobs |= told - lost_jobs
            entries = [each for source in self._sources for each in source.acknowledged]
            lost_entries = await self._lost(entries)
            back = await self._return(cut)
        told = in_a.acknowledged | in_b.acknowledged
        self.jobs |= told - lost_jobs
        behind, doubled_later = await self._missing(self.jobs)
        assert not behind, f"{len(behind)} jobs that were there after the failover are lost by the way back"
        return RegionOutcome(
            cut=cut,
            jobs=len(told),
            lost_jobs=len(lost_jobs),
            entries=len(entries),
            lost_entries=lost_entries,
            doubled=max(doubled, doubled_later),
            playbook=playbook,
            away_s=first.ended - killed,
            took_s=time.monotonic() - began,
            stated=_number(back.records["archive"].found["lost_transactions"]),
            stated_entries=_number(back.records["archive"].found["lost_entries"]),
            back=_phases(back),
        )

    async def breaches(self) -> list[str]:
        """What is wrong with the log, and what was ever said of it and is not so."""
        async with self.ledger.reading() as (store, key):
            whole: Whole = await whole_log(store, TENANT, key)
        found = list(whole.breaches)
        said = [Checkpoint.parsed(Note.parsed(text).body) for text in self.handed_out]
        witnessed = self.ledger.newest()
        found += [
            f"the checkpoint of {checkpoint.size:,} leaves is that of another log"
            for checkpoint in [*said, *([witnessed] if witnessed else [])]
            if self.how.safe and whole.root_at(checkpoint.size) != checkpoint.root
        ]
        return found

    async def _lose(self, dice: random.Random, acknowledged: Callable[[], int]) -> tuple[str, float]:
        """Load, then the cut, then the end of everything in the region; how it was cut, and when it ended."""
        async with self.ledger.serving(HOME) as served, self._posting(served):
            await asyncio.sleep(dice.uniform(0.2, 1.0))
            await _until(lambda: min(acknowledged(), self._entries) >= LEAST, "users and sources are served")
            cut = await self._cut(dice)
            lead = (0.0, LEAD_S) if self.how.safe else MEANT_TO_LOSE_S
            await asyncio.sleep(dice.uniform(*lead))
            await asyncio.gather(self._lab.break_("region-a"), asyncio.to_thread(served.end))
            killed = time.monotonic()
        return cut, killed

    async def _return(self, cut: str) -> Run:
        """The region is healed, and the cluster goes back; the run that did it."""
        if cut in self._lab.names:
            await self._lab.heal(cut)
        await self._lab.heal("region-a")
        await self._waiting(OTHER, wait=True)  # else there is no way back without loss
        async with self.ledger.serving(OTHER) as served:
            await asyncio.to_thread(self.regions.healed)
            run = await asyncio.to_thread(self.regions.run, "failback", "print")
            await asyncio.to_thread(self._gated, run["id"], "agree")
            for source in self._sources:
                await source.settle(served)
            await self._handed_out(served)
            await asyncio.to_thread(self._approved, run["id"])
            await asyncio.to_thread(served.end)
        view = await asyncio.to_thread(self.regions.over, run["id"])
        assert view.state == "done", f"the way back came to {view.state}: {view.why}"
        return view

    async def _handed_out(self, served: ProcessServing) -> None:
        if not self.how.safe:
            return  # its witness has seen what the region took with it: no checkpoint will follow
        told = [leaf for source in self._sources for leaf, _ in source.acknowledged]
        text, why = await served.handed_out(max(told, default=-1) + 1)
        assert text, why
        self.handed_out.add(text)

    @property
    def _entries(self) -> int:
        return sum(len(source.acknowledged) for source in self._sources)

    @asynccontextmanager
    async def _posting(self, served: ProcessServing) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(source.post(served)) for source in self._sources]
        tasks.append(asyncio.create_task(self._publish(served)))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
        for each in ends:
            if isinstance(each, Exception):
                raise each

    async def _publish(self, served: ProcessServing) -> None:
        while True:
            text, _ = await served.publish()
            self.handed_out |= {text} - {""}
            await asyncio.sleep(0.1)

    async def _cut(self, dice: random.Random) -> str:
        if not self.how.namespaces:
            await asyncio.to_thread(self._stop_senders)
            return "senders"
        ways = [("link-a-b", Damage.CUT), ("link-a-b", Damage.ONE_WAY), ("a-link", Damage.CUT)]
        name, how = dice.choice(ways if self.how.safe else ways[:1])
        await self._lab.break_(name, how)
        return name

    def _stop_senders(self) -> None:
        """What sends the log to the other region sends nothing more, and does not say so."""
        with self._connected() as connection:
            found = connection.execute("SELECT pid FROM pg_stat_replication").fetchall()
        assert found, "nobody follows"
        for (pid,) in found:
            os.kill(pid, signal.SIGSTOP)

    def _failed_over(self, known: set[str]) -> str:
        """Until the other region serves users; by which playbook."""
        run = self.regions.begun_beside(known)
        name = run.playbook.name
        assert name.startswith("region-outage"), name
        if name == "region-outage":
            assert self._number == 1, f"a person was asked: {run.given.get('why')}"
            self._gated(run.id, "agree")
            self._approved(run.id)
        run = self.regions.over(run.id)
        assert run.state == "done", f"the failover came to {run.state}: {run.why}"
        return name

    def _gated(self, run_id: str, gate: str) -> None:
        self.regions.until_gated(run_id, gate)

    def _approved(self, run_id: str) -> None:
        self.regions.run("run", "approve", run_id)

    async def _missing(self, told: set[str]) -> tuple[set[str], int]:
        """Of these jobs, those that are not there; and how many of all are there twice or more."""

        def look() -> tuple[set[str], int]:
            with self._connected() as connection:
                rows = connection.execute("SELECT title, count(*) FROM job GROUP BY title").fetchall()
            titles = {title: count for title, count in rows if title != "{id}"}
            return told - set(titles), sum(count > 1 for count in titles.values())

        return await asyncio.to_thread(look)

    async def _lost(self, entries: Sequence[tuple[int, bytes]]) -> int:
        there = await self.ledger.entries_from(min((leaf for leaf, _ in entries), default=0))
        return sum(there.get(leaf) != record for leaf, record in entries)

    async def _until_paired(self) -> None:
        """Until A leads, and B follows it; where commits wait, they wait for B."""

        async def paired() -> bool:
            with suppress(Away):
                view = (await ask("GET", self._url("w", at.PATRONI, "/view"), _ASKED_WITHIN)).content
                leader, sync, members = (view.get(name) for name in ("leader", "sync", "members"))
                follows = isinstance(members, list) and any(
                    each["name"] == OTHER and each.get("replication_state") == "streaming" for each in members
                )
                leads = isinstance(leader, dict) and leader["name"] == HOME
                waits = isinstance(sync, dict) and sync.get("standby") == OTHER
                return leads and follows and waits is self.how.safe
            return False

        await _until(paired, "A leads and B follows")

    def _connected(self) -> psycopg.Connection:
        words = self._lab.secret_file("superuser.conninfo").read_text().strip()
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return psycopg.connect(words, autocommit=True)
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, "no region's PostgreSQL can be written to"
                time.sleep(0.2)

    def _users(self, region: str) -> Users:
        return Users(f"http://{ADDRESSES[region]}:{self.regions.edge_port}", every_s=0.1, jobs=True)

    def _url(self, site: str, offset: int, path: str) -> str:
        return f"http://{self._lab.layout.outer(site)}:{self._lab.layout.port(offset)}{path}"


def _phases(run: Run) -> str:
    took = {
        name: (each.ended - each.began).total_seconds()
        for name, each in run.records.items()
        if each.ended is not None
    }
    return ", ".join(f"{name} {seconds:.1f}" for name, seconds in took.items() if seconds >= 0.5)


def _number(text: str) -> int:
    """At least so many are stated."""
    return int(text.removeprefix("at least "))


async def _until(look: Callable[[], Awaitable[bool] | bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        seen = look()
        if seen if isinstance(seen, bool) else await seen:
            return
        assert time.monotonic() < deadline, f"after {PATIENCE_S:.0f} s still not: {what}"
        await asyncio.sleep(0.1)

"""A PostgreSQL cluster under Patroni, driven over its REST API and that of its witness."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from holdfast.adapters.patroni.answers import (
    Regions,
    ends_of_timelines,
    told_by_node,
    told_by_witness,
)
from holdfast.adapters.patroni.rest import Answer, Away, Login, ask
from holdfast.kernel.clock import Clock
from holdfast.recovery.errors import ComesLate, StepFailed
from holdfast.recovery.ports import Fence
from holdfast.recovery.region_ports import Lock, Member, Told

PATIENCE = timedelta(seconds=3)
"""How long somebody who is only asked may take."""
CHANGE_WITHIN = timedelta(seconds=60)
"""How long Patroni may take to carry a change out: it waits for the result before it answers."""


@dataclass(frozen=True, slots=True)
class Node:
    region: str
    url: str


class PatroniCluster:
    """`Cluster`. `regions` maps each region to the addresses of its nodes, such as http://10.0.0.1:8008.

    The fence is kept by the witness: Patroni itself has no place for one. Without a witness a change is
    guarded by what Patroni compares: the leader that is named in it.
    """

    def __init__(
        self,
        regions: Mapping[str, Sequence[str]],
        clock: Clock,
        *,
        witness: str | None = None,
        login: Login | None = None,
        patience: timedelta = PATIENCE,
    ) -> None:
        self._nodes = [Node(region, url.rstrip("/")) for region, urls in regions.items() for url in urls]
        self._witness = None if witness is None else witness.rstrip("/")
        self._login = login
        self._clock = clock
        self._patience = patience
        self._regions = Regions(list(regions))

    async def told(self) -> Mapping[str, Told]:
        answers = await asyncio.gather(*(self._node(node) for node in self._nodes), self._view())
        found: dict[str, Told] = {}
        for told in answers:
            # Of several nodes in a region, one that runs speaks for it.
            if told is not None and not ((known := _own(found.get(told.place))) and known.running):
                found[told.place] = told
        return found

    async def release(self, lock: Lock, fence: Fence) -> None:
        if self._witness is None:
            raise StepFailed(
                "nobody can take the lead from one who does not answer: there is no witness",
                hint="wait until the lock expires, or name a witness in the estate",
            )
        index = lock.index
        if index is None:
            held = (await self._view_now()).lock
            if held is None:
                return
            if held.holder != lock.holder:
                raise StepFailed(f"the lead is {held.holder}'s by now")
            index = held.index
        await self._changed(
            f"{self._witness}/release",
            {"leader": lock.holder, "index": index, **_fence(fence)},
            "the witness does not take the lead away",
        )

    async def fail_over(self, to: str, fence: Fence) -> None:
        await self._pass(fence)
        node, own, leads = await self._running(to)
        if not leads:
            url = f"{node.url}/failover"
            await self._changed(url, {"candidate": own.name}, f"Patroni does not fail over to {own.name}")

    async def switch_over(self, lock: Lock, to: str, fence: Fence) -> None:
        await self._pass(fence)
        node, own, leads = await self._running(to)
        if not leads:
            names = {"leader": lock.holder, "candidate": own.name}
            url = f"{node.url}/switchover"
            await self._changed(url, names, f"Patroni does not switch over to {own.name}")

    async def rebuild(self, region: str, fence: Fence) -> None:
        """Patroni goes on with it after it has said yes: `told` shows when it is done."""
        await self._pass(fence)
        nodes = [
            (node, told) for node in self._nodes if node.region == region and (told := await self._node(node))
        ]
        if not nodes:
            raise StepFailed(f"no Patroni answers in {region}", hint="start it there first")
        if any(_leads(told) for _, told in nodes):
            raise StepFailed(
                f"{region} leads: there is nothing to copy from", hint="switch over to the other region first"
            )
        for node, _ in nodes:
            url, orders = f"{node.url}/reinitialize", {"force": True, "from-leader": True}
            await self._changed(url, orders, f"Patroni in {region} does not begin anew")

    async def parted(self) -> Mapping[int, int]:
        for node in self._nodes:
            try:
                answer = await ask("GET", f"{node.url}/history", self._patience)
            except Away:
                continue
            if answer.status == 200:
                return ends_of_timelines(answer.value)
        raise StepFailed("no node tells where the timelines ended", hint="does Patroni run anywhere?")

    async def _node(self, node: Node) -> Told | None:
        try:
            own = await ask("GET", f"{node.url}/patroni", self._patience)
            cluster = await ask("GET", f"{node.url}/cluster", self._patience)
        except Away:
            return None
        patroni = own.content.get("patroni")
        if isinstance(patroni, dict) and isinstance(patroni.get("name"), str):
            self._regions.learn(patroni["name"], node.region)
        return told_by_node(node.region, self._clock.now(), own.content, cluster.content, self._regions)

    async def _view(self) -> Told | None:
        if self._witness is None:
            return None
        try:
            answer = await ask("GET", f"{self._witness}/view", self._patience)
        except Away:
            return None
        if answer.status != 200:
            return None
        return told_by_witness(self._clock.now(), answer.content, self._regions)

    async def _running(self, region: str) -> tuple[Node, Member, bool]:
        """A node there that runs, and whether it leads, or has the lock and will. Raises StepFailed."""
        for node in self._nodes:
            told = await self._node(node) if node.region == region else None
            if told is not None and (own := told.own()) is not None and own.running:
                holds = told.lock is not None and told.lock.holder == own.name
                return node, own, own.leads or holds
        raise StepFailed(
            f"no PostgreSQL in {region} answers and runs", hint=f"look at Patroni's log in {region}"
        )

    async def _pass(self, fence: Fence) -> None:
        """Have the witness take note of the fence. Raises ComesLate.

        A witness that is away changes nothing: Patroni's own comparison is left.
        """
        if self._witness is None:
            return
        try:
            answer = await ask(
                "POST", f"{self._witness}/pass", self._patience, body=_fence(fence), login=self._login
            )
        except Away:
            return
        _judge(answer, "the witness does not let us pass")

    async def _view_now(self) -> Told:
        view = await self._view()
        if view is None:
            raise StepFailed("the witness does not answer", hint="it has to agree: is it cut off?")
        return view

    async def _changed(self, url: str, body: Mapping[str, object], what: str) -> None:
        """Send a change, and see that it was made. Raises StepFailed, ComesLate."""
        try:
            answer = await ask("POST", url, CHANGE_WITHIN, body=body, login=self._login)
        except Away as error:
            raise StepFailed(
                f"{what}: {error}", hint="whether it was done is not known; it is looked at again"
            ) from error
        _judge(answer, what)


def _judge(answer: Answer, what: str) -> None:
    if answer.status in {200, 202}:
        return
    if answer.status == 409 and "fence" in answer.content:
        raise ComesLate(f"{what}: {answer.words}")
    hint = "are the user and the password those of the REST API?" if answer.status == 401 else ""
    raise StepFailed(f"{what}: {answer.words} (status {answer.status})", hint=hint)


def _fence(fence: Fence) -> Mapping[str, object]:
    return {"fence": [fence.epoch, fence.turn]}


def _own(told: Told | None) -> Member | None:
    return None if told is None else told.own()


def _leads(told: Told) -> bool:
    own = told.own()
    return own is not None and own.running and own.leads

"""The two-region lab with real links between its sites: each is cut, also in one direction. As root."""

import asyncio
import os
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import dns.asyncquery
import dns.exception
import dns.message
import pytest
from tests.two_regions import TwoRegions, until

from holdfast.adapters.patroni.rest import Away, ask
from holdfast.lab import Damage, PartState
from holdfast.lab.errors import PartFailedError, UnsupportedError
from holdfast.lab.regions import layout as at
from holdfast.lab.regions.layout import REGIONS
from holdfast.lab.regions.network import Network
from holdfast.recovery.outage import Seen
from holdfast.recovery.ports import Fence

pytestmark = pytest.mark.timeout(900)  # a busy machine starts a region in minutes


@pytest.fixture(scope="module")
def linked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoRegions]:
    found = TwoRegions(tmp_path_factory.mktemp("holdfast") / "regions", namespaces=True)
    machine = interfaces()
    try:
        asyncio.run(found.lab.up())
        assert interfaces() == machine, "nothing is added to the machine's own network"
        yield found
    finally:
        asyncio.run(found.again().down())
        assert found.processes() == {}
        assert interfaces() == machine


def interfaces() -> set[str]:
    return {entry.name for entry in Path("/sys/class/net").iterdir()}


def second(region: str) -> str:
    return next(each for each in REGIONS if each != region)


async def reached(linked: TwoRegions, site: str, offset: int, path: str) -> bool:
    try:
        return (await ask("GET", linked.url(site, offset, path), timedelta(seconds=2))).status == 200
    except Away:
        return False


async def test_outside_everything_is_reached_as_ever(linked: TwoRegions) -> None:
    assert await linked.paired() == "a"
    assert {status.state for status in await linked.lab.status()} == {PartState.RUNNING}
    for edge in REGIONS:
        assert await linked.add(f"linked-{edge}", edge)
    question = dns.message.make_query(at.NAME, "A")
    host, port = linked.lab.layout.outer("w"), linked.lab.layout.port(at.DNS)
    answer = await dns.asyncquery.udp(question, host, timeout=60, port=port)
    assert [rdata.to_text() for rdata in answer.answer[0]] == ["127.0.1.1"]


async def test_a_lab_keeps_the_addresses_it_was_made_with(linked: TwoRegions) -> None:
    without = type(linked.lab)(linked.directory, base_port=linked.base_port, namespaces=False)
    with pytest.raises(PartFailedError, match="with network namespaces"):
        await without.up()


async def test_a_site_that_is_cut_off_is_silence_not_a_refusal(linked: TwoRegions) -> None:
    await linked.lab.break_("w-link")
    question = dns.message.make_query(at.NAME, "A")
    host, port = linked.lab.layout.outer("w"), linked.lab.layout.port(at.DNS)
    with pytest.raises(dns.exception.Timeout):
        await dns.asyncquery.udp(question, host, timeout=1, port=port)
    began = time.monotonic()
    assert not await reached(linked, "w", at.PATRONI, "/view")
    assert time.monotonic() - began > 1.5, "nobody answered, nobody refused"
    # Losing the witness's link alone changes nothing for users.
    for number in range(5):
        assert await linked.add(f"without-w-{number}")
    await linked.lab.heal("w-link")
    await until(lambda: reached(linked, "w", at.PATRONI, "/view"), "the witness again")
    await linked.paired()


async def test_between_the_regions_only_that_link_is_cut(linked: TwoRegions) -> None:
    """The leader goes on alone; the standby takes nothing over while the witness sees both."""
    leader = await linked.paired()
    before = await linked.members(leader)
    await linked.lab.break_("link")
    assert "link-a-b" in [status.name for status in await linked.lab.status()]
    for site in REGIONS:
        assert await reached(linked, site, at.PATRONI, "/patroni"), "outside sees both"

    async def writes_again() -> bool:
        return await linked.add("while-the-link-was-cut", leader)

    await until(writes_again, "the leader does without its standby")

    async def witness_sees_both() -> bool:
        told = (await linked.cluster().told())["witness"]
        assert told.lock is not None
        assert told.lock.region == leader
        return set(told.connected.values()) == {Seen.UP}

    await until(witness_sees_both, "the witness is connected to both")
    await linked.lab.heal("link")
    assert await linked.paired() == leader
    assert before | {"while-the-link-was-cut"} <= await linked.members(leader)


async def test_one_direction_can_be_cut_alone(linked: TwoRegions) -> None:
    await linked.paired()
    network = linked.lab.network
    await linked.lab.break_("link-a-w", Damage.ONE_WAY)
    # A UDP question from W reaches A's side; only what A sends to W is lost. Told by who hears what.
    assert await heard(network, sender="w", receiver="a")
    assert not await heard(network, sender="a", receiver="w")
    await linked.lab.heal("link-a-w")
    assert await heard(network, sender="a", receiver="w")
    await linked.paired()


HEAR = """
import socket, sys
hearing = socket.socket(type=socket.SOCK_DGRAM)
hearing.bind((sys.argv[1], 9))
hearing.settimeout(5)
print(flush=True)
hearing.recv(9)
"""
SAY = """
import socket, sys, time
saying = socket.socket(type=socket.SOCK_DGRAM)
for _ in range(10):
    saying.sendto(b"x", (sys.argv[1], 9))
    time.sleep(0.1)
"""


async def heard(network: Network, *, sender: str, receiver: str) -> bool:
    """Whether any of ten datagrams from one site to another arrives."""
    address = network.layout.inner(receiver)
    hearing = await asyncio.create_subprocess_exec(
        *network.enter(receiver), sys.executable, "-c", HEAR, address, stdout=PIPE, stderr=DEVNULL
    )
    assert hearing.stdout is not None
    await hearing.stdout.readline()
    saying = await asyncio.create_subprocess_exec(*network.enter(sender), sys.executable, "-c", SAY, address)
    await saying.wait()
    return await hearing.wait() == 0


async def test_an_isolated_leader_acknowledges_nothing_and_loses_nothing(linked: TwoRegions) -> None:
    """The link is cut first, then the region dies: what was acknowledged is in the other region."""
    lost = await linked.paired()
    kept = second(lost)
    for edge in REGIONS:
        await linked.route(edge, lost)
    acknowledged: set[str] = set()
    stop = asyncio.Event()

    async def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            for edge in (lost, kept):
                if await linked.add(f"round-{number}-{edge}", edge, within_s=2):
                    acknowledged.add(f"round-{number}-{edge}")

    writing = asyncio.create_task(write())
    await asyncio.sleep(1)
    await linked.lab.break_(f"{lost}-link")
    await asyncio.sleep(2)
    await linked.lab.break_(f"region-{lost}")

    async def is_missed() -> bool:
        return (await linked.cluster().told())["witness"].connected.get(lost) is Seen.DOWN

    # Whoever leads the raft, and though nobody told the witness that a connection had ended.
    await until(is_missed, "the witness does not see the lost region")
    lock = (await linked.cluster().told())["witness"].lock
    assert lock is not None
    await linked.cluster().release(lock, Fence("run", 3, 1))
    await linked.route(kept, kept)

    async def writes_in_the_other() -> bool:
        return await linked.add("after-the-loss", kept)

    await until(writes_in_the_other, "writes in the other region")
    stop.set()
    await writing
    assert len(acknowledged) > 3
    assert acknowledged - await linked.members(kept) == set()
    # The old leader may have written what it could not acknowledge: then it waits to be copied anew.
    await linked.lab.up()
    assert await linked.paired(rebuild=True) == kept
    assert acknowledged - await linked.members(kept) == set()


async def test_without_root_links_are_refused_with_a_reason(tmp_path: Path) -> None:
    lab = TwoRegions(tmp_path / "regions", namespaces=True).lab
    if os.geteuid() == 0:
        # Root is needed for namespaces; what an account without it is told is asked of one.
        os.seteuid(65534)
    try:
        with pytest.raises(UnsupportedError, match="need root"):
            await lab.network.start()
    finally:
        if os.getuid() == 0:
            os.seteuid(0)

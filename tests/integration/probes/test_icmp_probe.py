"""ICMP checks: a real kernel in a network of its own, so that what this machine allows does not matter."""

import asyncio
import json
import os
import struct
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.adapters.probes.icmp import Echoes, checksum
from holdfast.availability.judging import compile_check, judge
from holdfast.availability.model import Observation, Outcome, Timings
from holdfast.estate.checks import IcmpCheck

TOKEN = bytes(range(16))


async def pinged(groups: str, *hosts: str) -> list[dict[str, Any]]:
    # Without root the network belongs to a user of its own, in which we are root.
    apart = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--net", "--user", "--map-root-user"]
    loop = type(asyncio.get_running_loop()).__module__
    program = Path(__file__).with_name("pinging.py")
    process = await asyncio.create_subprocess_exec(
        *apart, sys.executable, str(program), loop, groups, *hosts, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    return [json.loads(line) for line in output.splitlines()]


async def test_replies_of_both_families_and_none() -> None:
    there, there_v6, by_name, nowhere = await pinged(
        "0 2147483647", "127.0.0.1", "::1", "localhost", "192.0.2.1"
    )
    for seen in (there, there_v6, by_name):
        assert (seen["error"], seen["ours"]) == (None, False)
        assert (seen["facts"]["sent"], seen["facts"]["received"], seen["facts"]["loss"]) == ("2", "2", "0.0")
    assert nowhere["error"] == "the network cannot be reached"


async def test_a_kernel_that_forbids_it_is_our_own_fault() -> None:
    [seen] = await pinged("1 0", "127.0.0.1")
    assert seen["ours"]
    assert seen["error"] == (
        "the system forbids ping sockets; "
        "allow ping sockets: sysctl -w net.ipv4.ping_group_range='0 2147483647'"
    )


def reply(request: bytes, *, kind: int = 0) -> bytes:
    return bytes([kind]) + request[1:]


def test_what_is_counted() -> None:
    echoes = Echoes(v6=False, token=TOKEN)
    one, two, three = (echoes.request(number * 1_000_000) for number in range(3))
    echoes.heard(reply(two), 3_000_000)
    echoes.heard(reply(two), 9_000_000)  # doubled on the way
    echoes.heard(reply(one), 4_000_000)
    assert (echoes.sent, echoes.received) == (3, 2)
    facts = echoes.facts()
    assert facts["round_trip_time"] == timedelta(milliseconds=3)
    assert facts["loss"] == pytest.approx(33.333, abs=0.001)
    assert three[6:8] == b"\0\x03"


def test_what_is_no_reply() -> None:
    echoes = Echoes(v6=False, token=TOKEN)
    request = echoes.request(0)
    for other in (
        request,  # our own request, as a loopback shows it
        reply(request, kind=3),
        reply(request, kind=129),
        reply(request)[:-1],
        reply(request) + b"x",
        reply(request)[:8] + bytes(16),
        reply(request)[:6] + b"\0\x02" + TOKEN,
        b"",
    ):
        echoes.heard(other, 1)
    assert echoes.received == 0


@given(st.lists(st.binary(max_size=40)))
def test_any_datagram_is_survived(datagrams: list[bytes]) -> None:
    echoes = Echoes(v6=True, token=TOKEN)
    echoes.request(0)
    for datagram in datagrams:
        echoes.heard(datagram, 1)
    assert echoes.received == 0


@given(st.binary(min_size=1, max_size=16).map(lambda raw: raw + raw))
def test_the_checksum_of_a_message_with_its_checksum_is_nothing(message: bytes) -> None:
    """RFC 1071, section 1."""
    assert checksum(message + struct.pack(">H", checksum(message))) == 0


def test_loss_is_judged_by_conditions() -> None:
    check = IcmpCheck.model_validate(
        {"type": "icmp", "host": "h", "conditions": ["loss < 50", "round_trip_time < 1s"]}
    )
    facts = {"sent": 3, "received": 1, "loss": 200 / 3, "round_trip_time": timedelta(milliseconds=2)}
    judgement = judge(compile_check(check), Observation(Timings(total_us=1), facts=facts))
    assert judgement == (Outcome.FAILED, "loss was 66.6666666667, expected < 50")

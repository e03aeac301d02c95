"""LOOP RANGE HOST...: allow ping sockets to RANGE in this network; print what a check of each host saw."""

import asyncio
import fcntl
import json
import socket
import struct
import sys
from pathlib import Path

import uvloop

from holdfast.adapters.probes import Probes
from holdfast.estate.checks import IcmpCheck
from holdfast.estate.values import SecretRef

SET_FLAGS, UP, RUNNING = 0x8914, 0x1, 0x40


def no_secret(reference: SecretRef) -> str:
    raise KeyError(reference.name)


async def main(hosts: list[str]) -> None:
    probes = Probes(no_secret)
    for host in hosts:
        check = IcmpCheck.model_validate({"type": "icmp", "host": host, "count": 2, "timeout": "3s"})
        seen = await probes.attempt(check)
        facts = {name: str(fact) for name, fact in seen.facts.items()}
        print(json.dumps({"error": seen.error, "ours": seen.ours, "facts": facts}))  # noqa: T201
    await probes.close()


loop, groups, *hosts = sys.argv[1:]
with socket.socket() as any_socket:  # a new network's loopback is down (netdevice(7))
    fcntl.ioctl(any_socket, SET_FLAGS, struct.pack("16sh14x", b"lo", UP | RUNNING))
Path("/proc/sys/net/ipv4/ping_group_range").write_text(groups)
(uvloop if loop == "uvloop" else asyncio).run(main(hosts))

"""What it costs that one record in a hundred was there already: JSON to signed commits, in short turns.

From one second to the next the machine is slower or faster by more than what is to be told. So a turn is
short, turns with repeats stand beside one without, in changing order, and what counts is the ratio within
each round. Beside the time stands the CPU of all who take part: this process, those that prepare, the server.

What comes again does so soon, as a rule: its source has not heard the answer. Then it is among the newest
hundred thousand records; or it is any that ever came, as after a source was set up anew.
"""

import multiprocessing
import random
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import permutations

from tests.protected import Protected

from bench.ledger_line import Line, streamed
from bench.ledger_records import BATCH, Records
from bench.processes import cpu_of_server_s, cpu_s
from bench.table import Measurement, at_most
from holdfast.adapters.postgres.server.process import processes_of

NAME = "JSON to signed commit, 1 % of it repeated"
PLAIN, SOON, EVER = "none-again", "soon-again", "ever-again"
"""Tenants, whose names stand in each record: of one length."""
TOLD = {SOON: f"{NAME} soon", EVER: f"{NAME} at any time"}
SOON_RECORDS = 100_000
BATCHES = 8
"""Of a turn: a quarter of a second."""
MOST_DEARER = 2.0


@dataclass(slots=True)
class Rounds:
    """Of each round, by stream: seconds for a batch, by the clock and of CPU."""

    wall: list[dict[str, float]] = field(default_factory=list)
    cpu: list[dict[str, float]] = field(default_factory=list)


class Stream:
    """Records of one tenant, numbered on; of each batch so many were among the newest `within` before the
    turn: nobody sends again what is under way.
    """

    def __init__(self, tenant: str, seed: int, repeated: int, within: int = 0) -> None:
        self._tenant = tenant
        self._dice = random.Random(seed)
        self._repeated = repeated
        self._within = within
        made = Records(seed, tenant=tenant).batch().split(b"\n")
        self._head = made[0][: made[0].index(b'"seq":') + 6]
        self._tails = [each[each.index(b',"job":') :] for each in made]
        self._count = 0

    def batches(self, count: int) -> list[bytes]:
        """Of a turn. The first one has nothing that came before."""
        before = range(max(self._count - self._within, 0), self._count)
        return [self._batch(before) for _ in range(count)]

    def _batch(self, before: range) -> bytes:
        repeated = self._repeated if before else 0
        numbers = [*range(self._count, self._count + BATCH - repeated), *self._dice.sample(before, repeated)]
        self._count += BATCH - repeated
        return b"\n".join(
            [b"%b%d%b" % (self._head, number, self._tails[number % BATCH]) for number in numbers]
        )


async def played(server: Protected, line: Line, rounds: int) -> Rounds:
    """The first round is not counted."""
    repeated, found = BATCH // 100, Rounds()
    streams = {
        PLAIN: Stream(PLAIN, 5, 0),
        SOON: Stream(SOON, 6, repeated, SOON_RECORDS),
        EVER: Stream(EVER, 7, repeated, sys.maxsize),
    }
    for tenant, stream in streams.items():
        await streamed(line, tenant, stream.batches(1), again=False)
    for number in range(rounds + 1):
        bodies = {tenant: each.batches(BATCHES) for tenant, each in streams.items()}
        server.sql("CHECKPOINT")
        wall, cpu, order = dict[str, float](), dict[str, float](), list(permutations(streams))
        for tenant in order[number % len(order)]:
            began = _cpu_s(server)
            wall[tenant] = await streamed(line, tenant, bodies[tenant], again=tenant != PLAIN)
            cpu[tenant] = (_cpu_s(server) - began) / BATCHES
        if number:
            found.wall.append(wall)
            found.cpu.append(cpu)
    print(f"  {NAME}: {rounds} rounds", file=sys.stderr, flush=True)
    return found


def measurements(found: Rounds) -> Iterator[Measurement]:
    """Ratios are those of the same round. Pure."""
    for tenant, name in TOLD.items():
        yield Measurement(name, "ms", [each[tenant] * 1000 for each in found.wall])
        yield Measurement("  dearer than without", "%", _dearer(found.wall, tenant), at_most(MOST_DEARER))
        yield Measurement("  CPU of it, dearer than without", "%", _dearer(found.cpu, tenant))


def _dearer(rounds: Sequence[Mapping[str, float]], tenant: str) -> list[float]:
    return [(each[tenant] / each[PLAIN] - 1) * 100 for each in rounds]


def _cpu_s(server: Protected) -> float:
    postmaster = int((server.data / "postmaster.pid").read_text(encoding="utf-8").split("\n", 1)[0])
    workers = [cpu_s(each.pid) for each in multiprocessing.active_children() if each.pid is not None]
    return time.process_time() + sum(workers) + cpu_of_server_s(postmaster, processes_of(server.data))

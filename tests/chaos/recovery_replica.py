"""A replica that works on runs, as a process: its login, its lease and its name come over standard input.

Each time that it is told to change something, it says so on standard output: when, and in which epoch.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from holdfast.adapters.postgres.connect import Pool, open_pool
from holdfast.adapters.postgres.recovery.marks import PostgresMarks
from holdfast.adapters.postgres.recovery.news import heard_on
from holdfast.adapters.postgres.recovery.runs import PostgresRuns
from holdfast.bootstrap.database import unpacked
from holdfast.bootstrap.logs import configure_logs
from holdfast.kernel.clock import SystemClock
from holdfast.recovery.engine import Engine
from holdfast.recovery.errors import ComesLate, StepFailed
from holdfast.recovery.ports import Fence, Found


def tell(what: Mapping[str, object]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


@dataclass(frozen=True)
class Marking:
    """Has a mark be `to`. It looks at nothing before, so that whatever is begun reaches the target."""

    pool: Pool
    to: str

    async def observe(self, given: Mapping[str, str]) -> Found | None:
        del given
        return None

    async def act(self, given: Mapping[str, str], fence: Fence) -> None:
        await asyncio.sleep(float(given["seconds"]) / 2)
        if given.get("fails") and self.to == "set":
            raise StepFailed("it does not work out")
        # What was sent arrives, whatever becomes of the sender: it may find out that its lease has ended.
        sent = asyncio.ensure_future(self.deliver(given["mark"], fence))
        sent.add_done_callback(lambda each: each.cancelled() or each.exception())
        await asyncio.shield(sent)
        await asyncio.sleep(float(given["seconds"]) / 2)

    async def deliver(self, mark: str, fence: Fence) -> None:
        try:
            await PostgresMarks(self.pool).put(mark, self.to, fence)
        except ComesLate as error:
            tell({"late": mark, "epoch": fence.epoch, "said": str(error)})
            raise
        tell({"acted": mark, "epoch": fence.epoch})

    async def verify(self, given: Mapping[str, str]) -> Found:
        return {"mark": given["mark"]}


async def main() -> None:
    told = json.loads(sys.stdin.readline())
    conninfo = unpacked(told["login"].encode())
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with open_pool(conninfo, told["name"], max_size=6) as pool, heard_on(conninfo) as heard:
        actions = {f"mark.{to}": Marking(pool, to) for to in ("set", "unset")}
        engine = Engine(
            PostgresRuns(pool, heard),
            actions,
            SystemClock(),
            replica=told["name"],
            lease=timedelta(seconds=told["lease_s"]),
        )
        tell({"ready": os.getpid()})
        await engine.work_until(stop)


if __name__ == "__main__":
    configure_logs("replica")
    asyncio.run(main())

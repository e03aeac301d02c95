"""A sender that claims a message, sends it, and gets no further. Run as a process of its own, to be killed.

Its input is one line of JSON: the database's parameters, the channel's URL, and where to stop.
"""

import asyncio
import json
import sys
from datetime import timedelta

from holdfast.adapters.notify.channels import AppriseNotifier
from holdfast.adapters.postgres.alerting import PostgresAlerts
from holdfast.adapters.postgres.connect import open_pool
from holdfast.adapters.postgres.conninfo import Conninfo, Role
from holdfast.availability.alerting.model import Delivery
from holdfast.availability.alerting.service import Deliveries
from holdfast.kernel.clock import SystemClock


class HaltingAlerts(PostgresAlerts):
    """Everything works, but for the mark that a message was sent."""

    async def sent(self, delivery: Delivery) -> None:
        del delivery
        print("sent", flush=True)  # noqa: T201
        await asyncio.Event().wait()


class HaltingNotifier(AppriseNotifier):
    """Claims are made, and nothing is sent."""

    async def send(self, channel: str, message: object) -> object:  # type: ignore[override]
        del channel, message
        print("claimed", flush=True)  # noqa: T201
        await asyncio.Event().wait()
        return None


async def main() -> None:
    asked = json.loads(sys.stdin.readline())
    settings = {name: text for name, text in asked["database"].items() if name != "password"}
    conninfo = Conninfo(Role.CONTROLLER, settings, asked["database"].get("password"))
    async with open_pool(conninfo, "killed") as pool:
        kind = HaltingNotifier if asked["stop"] == "claimed" else AppriseNotifier
        deliveries = Deliveries(
            HaltingAlerts(pool),
            kind(lambda _: asked["url"]),
            SystemClock(),
            lease=timedelta(seconds=asked["lease_s"]),
            on_event=lambda *_: None,
        )
        while True:
            await deliveries.start_due()
            await asyncio.sleep(0.05)


if __name__ == "__main__":
    asyncio.run(main())

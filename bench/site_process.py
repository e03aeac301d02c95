"""The status site's process as `holdfast serve site` runs it, but for its clock, which begins at START.

python -m bench.site_process CONFIG DATA_DIR LISTEN START    (the login comes on standard input)
"""

import asyncio
import sys
from datetime import datetime
from pathlib import Path

import uvloop

from bench.clock import ShiftedClock
from holdfast.bootstrap.database import unpacked
from holdfast.bootstrap.estates import read_estate
from holdfast.bootstrap.logs import configure_logs
from holdfast.bootstrap.signals import Signals, end_with_supervisor, supervisors_pipe
from holdfast.bootstrap.site import run_site


async def main() -> None:
    config, data_dir, listen, start = sys.argv[1:]
    configure_logs("site")
    signals = Signals()
    signals.install()
    pipe = await supervisors_pipe()
    conninfo = unpacked(await pipe.readline())
    watching = asyncio.create_task(end_with_supervisor(pipe, signals.stop))
    estate = read_estate(Path(config))
    site = estate.site.model_copy(update={"listen": listen})
    clock = ShiftedClock(datetime.fromisoformat(start))
    try:
        await run_site(
            estate.model_copy(update={"site": site}),
            Path(config),
            Path(data_dir),
            conninfo,
            signals,
            clock=clock,
        )
    finally:
        watching.cancel()


if __name__ == "__main__":
    uvloop.run(main())

"""Start one process of one cluster: `python -m printcloud website|api|messaging --cluster eu --port 18110`.

The database's conninfo comes from the file that PRINTCLOUD_DATABASE_FILE names (read again for each new
connection) or from PRINTCLOUD_DATABASE; never from the command line, where every user of the machine could
read it. SIGTERM and SIGINT end the process in order, with exit code 0.
"""

import argparse
import asyncio
import logging
import os
import signal
import stat
import sys
from collections.abc import Callable
from pathlib import Path

LOG_LIMIT_BYTES = 1024 * 1024


class BoundedLog(logging.StreamHandler):  # type: ignore[type-arg]
    """Log to stderr. When stderr is a file that has grown to LOG_LIMIT_BYTES, it begins again from empty."""

    def emit(self, record: logging.LogRecord) -> None:
        file = os.fstat(2)
        if stat.S_ISREG(file.st_mode) and file.st_size > LOG_LIMIT_BYTES:
            os.ftruncate(2, 0)
        super().emit(record)


def main() -> int:
    arguments = parse_arguments()
    logging.basicConfig(
        level=logging.INFO,
        format=f"%(asctime)s {arguments.cluster}-{arguments.role} %(levelname)s %(message)s",
        handlers=[BoundedLog()],
    )
    logging.getLogger("psycopg").setLevel(logging.ERROR)  # the store says itself when the database is away
    if arguments.role == "messaging":
        asyncio.run(serve_messaging(arguments))
    else:
        serve_http(arguments)
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="printcloud", description="One process of a small cloud print service."
    )
    parser.add_argument("role", choices=["website", "api", "messaging"])
    parser.add_argument("--cluster", required=True, help="the cluster's key, such as eu")
    parser.add_argument("--port", required=True, type=int)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--api", help="where the website finds its API, such as http://127.0.0.1:18111")
    arguments = parser.parse_args()
    if arguments.role == "website" and not arguments.api:
        parser.error("the website needs --api")
    if arguments.role != "website" and not (
        os.environ.get("PRINTCLOUD_DATABASE_FILE") or os.environ.get("PRINTCLOUD_DATABASE")
    ):
        parser.error("name the database in PRINTCLOUD_DATABASE_FILE or PRINTCLOUD_DATABASE")
    return arguments


def conninfo_source() -> Callable[[], str]:
    """Where each new connection gets its conninfo from."""
    if file := os.environ.get("PRINTCLOUD_DATABASE_FILE"):
        return file_source(file)
    return lambda: os.environ["PRINTCLOUD_DATABASE"]


def file_source(file: str) -> Callable[[], str]:
    """A conninfo that is read again for each new connection."""
    return lambda: Path(file).read_text(encoding="utf-8").strip()


def serve_http(arguments: argparse.Namespace) -> None:
    import uvicorn  # noqa: PLC0415  the message endpoint starts without a web server

    if arguments.role == "website":
        from printcloud.website import create_website  # noqa: PLC0415

        application = create_website(arguments.api, arguments.cluster)
    else:
        from printcloud.api import create_api  # noqa: PLC0415
        from printcloud.store import Store  # noqa: PLC0415

        name = f"printcloud-{arguments.cluster}-api"
        reading = None
        if file := os.environ.get("PRINTCLOUD_READING_FILE"):
            reading = Store(file_source(file), name=f"{name}-reading", makes_schema=False)
        application = create_api(Store(conninfo_source(), name=name), arguments.cluster, reading)
    # uvicorn raises the signal that ended it once more when it is done; that must not kill an orderly exit.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    config = uvicorn.Config(
        application,
        host=arguments.host,
        port=arguments.port,
        loop="asyncio",
        ws="none",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=200,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=3,
    )
    uvicorn.Server(config).run()


async def serve_messaging(arguments: argparse.Namespace) -> None:
    from printcloud.messaging import MessageEndpoint  # noqa: PLC0415
    from printcloud.store import Store  # noqa: PLC0415

    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    endpoint = MessageEndpoint(Store(conninfo_source(), name=f"printcloud-{arguments.cluster}-messaging"))
    await endpoint.start(arguments.host, arguments.port)
    await ended.wait()
    await endpoint.close()


if __name__ == "__main__":
    sys.exit(main())

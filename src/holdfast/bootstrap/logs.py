"""Logs: one JSON object per line on stderr, readable lines on a terminal. The audit trail is the journal."""

import contextlib
import faulthandler
import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

_NEVER_SHOWN = ("password", "secret", "token", "dsn", "authorization")


def configure_logs(role: str) -> None:
    """Set logging up for this process. Every line carries the role and a UTC time."""
    # Where a library takes the process down with it, the log tells where each thread was.
    if not faulthandler.is_enabled():
        with contextlib.suppress(OSError, RuntimeError):  # stderr is no file
            faulthandler.enable()
    readable = sys.stderr.isatty()
    # Beside a person's progress bar only trouble is worth a line; a collector of logs gets everything.
    quiet = readable and role in {"up", "export"}
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _without_secrets,
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer() if readable else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING if quiet else logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(_Unfailing(sys.stderr)),  # type: ignore[arg-type]
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(role=role)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")


class _Unfailing:
    """A full disk, or a terminal that is gone, costs log lines and nothing else: the work goes on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()


def _without_secrets(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A second fence: no value whose name says that it is a secret is ever written."""
    for name in event:
        if any(part in name.lower() for part in _NEVER_SHOWN):
            event[name] = "***"
    return event

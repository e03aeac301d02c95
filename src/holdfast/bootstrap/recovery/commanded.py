"""A command of Holdfast's own, as a process of its own: it can be ended, and gives its memory back."""

import asyncio
import json
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from tempfile import TemporaryFile
from typing import Any

from holdfast.recovery.errors import StepFailed

MOST_TOLD = 4 * 1024 * 1024
"""Bytes of what it says; more than that is no answer."""
PATIENCE_S = 15.0
"""After it was asked to end."""


async def commanded(arguments: Sequence[str], *, also: Collection[int] = ()) -> Mapping[str, Any]:
    """What `holdfast ARGUMENTS --json` says. Cancelled, it is ended, and waited for.

    `also`: codes that it may end with beside 0. Raises StepFailed with what it said.
    """
    # Into a file: a server that it leaves running would hold a pipe open, and nobody see its end.
    with TemporaryFile() as said:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "holdfast.bootstrap.main",
            *arguments,
            "--json",
            stdin=DEVNULL,
            stdout=said,
            stderr=DEVNULL,
        )
        try:
            code = await process.wait()
        finally:
            await _ended(process)
        said.seek(0)
        text = said.read(MOST_TOLD)
    try:
        told = json.loads(text)
    except ValueError:
        told = None
    if (code != 0 and code not in also) or not isinstance(told, dict):
        reason = told.get("error") if isinstance(told, dict) else None
        hint = told.get("hint") if isinstance(told, dict) else None
        raise StepFailed(reason or f"holdfast {arguments[0]} ended with code {code}", hint=hint or "")
    return told


async def _ended(process: Process) -> None:
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), PATIENCE_S)
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()

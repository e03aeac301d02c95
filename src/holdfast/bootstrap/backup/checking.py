"""What `holdfast check` tries of backups: keys, stores, protected databases, and PostgreSQL's programs."""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import TypeVar
from urllib.parse import unquote

from holdfast.adapters.objectstore.folder import FolderRegion
from holdfast.adapters.packing.zstd import ZstdPacker
from holdfast.adapters.postgres.replication.readiness import readiness
from holdfast.adapters.postgres.restored.programs import Programs
from holdfast.backup.copies.trying import Tried, try_all, try_reading
from holdfast.backup.errors import BackupError
from holdfast.backup.model import Mode
from holdfast.backup.restore.needs import Needs, missing
from holdfast.backup.take.readiness import Asked, Readiness, shortcomings, summary
from holdfast.backup.wal.reception import slot_name
from holdfast.bootstrap.backup.engines import engine_for
from holdfast.bootstrap.backup.opening import key_of, store_of
from holdfast.bootstrap.backup.sources import params_for
from holdfast.bootstrap.estates import secret_of
from holdfast.estate.backup import Database, Encryption
from holdfast.estate.model import Estate
from holdfast.estate.values import SecretRef
from holdfast.interfaces.cli.ports import Finding, Place, Progress, Report
from holdfast.kernel.errors import HoldfastError

LONGEST_S = 60.0
"""Of one attempt. Each call in it has its own, shorter time."""
AT_ONCE = 16

_KEY = "backup.encryption.keys."
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Attempt:
    subject: str
    ask: Callable[[], Sequence[Finding]]


async def backup_findings(
    estate: Estate, place: Place, report: Report, longest_s: float = LONGEST_S
) -> Sequence[Finding]:
    """All of it, side by side, told in the estate's order. Each attempt takes `longest_s` at the most."""
    attempts = [
        *_keys(estate, place),
        *(
            _Attempt(f"backup.stores.{key}", partial(_store, estate, place, key))
            for key in estate.backup.stores
        ),
        *(_Attempt(f"databases.{key}", partial(_database, estate, place, key)) for key in estate.databases),
    ]
    gate = asyncio.Semaphore(AT_ONCE)
    done = 0

    async def attempt(each: _Attempt) -> Sequence[Finding]:
        nonlocal done
        async with gate:
            findings = await _in_time(each, longest_s)
        done += 1
        report(Progress(f"tried {each.subject}", done, len(attempts)))
        return findings

    return [finding for found in await asyncio.gather(*map(attempt, attempts)) for finding in found]


async def _in_time(attempt: _Attempt, longest_s: float) -> Sequence[Finding]:
    began = time.monotonic()
    try:
        return await asyncio.wait_for(_aside(attempt.ask), longest_s)
    except TimeoutError:
        took_ms = (time.monotonic() - began) * 1000
        return [Finding(attempt.subject, False, f"no answer within {longest_s:g} s", took_ms)]
    except OSError as error:
        return [Finding(attempt.subject, False, str(error))]


async def _aside(ask: Callable[[], T]) -> T:
    """In a thread that nobody waits for at the end: a folder on a network's dead server never answers."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if answer.done():
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(result)  # type: ignore[arg-type]

    def work() -> None:
        result: T | None = None
        failed: BaseException | None = None
        try:
            result = ask()
        except Exception as error:  # noqa: BLE001  raised where it is waited for
            failed = error
        # When nobody waits any more, the loop may be closed.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, result, failed)

    threading.Thread(target=work, name="check", daemon=True).start()
    return await answer


# --- keys


def _keys(estate: Estate, place: Place) -> Iterator[_Attempt]:
    encryption = estate.backup.encryption
    if encryption is not None:
        for name in encryption.keys:
            yield _Attempt(_KEY + name, partial(_key, estate, encryption, place, name))


def _key(estate: Estate, encryption: Encryption, place: Place, name: str) -> Sequence[Finding]:
    subject, ref = _KEY + name, encryption.keys[name]
    try:
        # That of a file which others may read is refused.
        ZstdPacker(keys={name: key_of(name, secret_of(place.config, ref))}, key=name)
    except HoldfastError as error:
        return [Finding(subject, False, _told(error))]
    text = "32 bytes; seals what is new" if name == encryption.key else "32 bytes; opens what is older"
    beside = _store_around(estate, place, ref)
    if beside:
        return [Finding(subject, True, f"{text}; it lies in the store {beside}", warning=True)]
    return [Finding(subject, True, text)]


def _store_around(estate: Estate, place: Place, ref: SecretRef) -> str:
    """The store that a key lies in: whoever takes the copies takes the key. Empty for none."""
    if ref.source != "file":
        return ""
    path = (place.config.absolute().parent / ref.name).resolve()
    folders = (each.to for each in estate.backup.stores.values() if each.to.startswith("file://"))
    return next((to for to in folders if path.is_relative_to(unquote(to.removeprefix("file://")))), "")


# --- stores


def _store(estate: Estate, place: Place, key: str) -> Sequence[Finding]:
    began = time.monotonic()
    subject = f"backup.stores.{key}"
    try:
        region = store_of(estate, key, place.config, place.data_dir)
    except HoldfastError as error:
        return [Finding(subject, False, _told(error))]
    if isinstance(region, FolderRegion) and region.is_new:
        return [Finding(subject, True, f"{region.root} is not there yet: what is stored first makes it")]
    why = _why_not_written(region, estate.backup.stores[key].lock)
    unique = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{token_hex(8)}"
    tried = try_reading(region, why) if why else try_all(region, unique)
    return [_of(subject, tried, began)]


def _why_not_written(region: object, lock: str) -> str:
    if lock != "none":
        return "what is put into a locked store may stay"
    if isinstance(region, FolderRegion) and region.root.exists():
        owner = region.root.stat().st_uid
        if owner != os.geteuid() and os.geteuid() == 0:
            return f"the folder belongs to the account {owner}, which could not delete what root leaves"
    return ""


def _of(subject: str, tried: Tried, began: float) -> Finding:
    text = f"{tried.text}: {tried.hint}" if tried.hint else tried.text
    return Finding(subject, tried.ok, text, (time.monotonic() - began) * 1000, tried.warning)


# --- databases


def _database(estate: Estate, place: Place, key: str) -> Sequence[Finding]:
    database = estate.databases[key]
    subject = f"databases.{key}"
    native = database.engine == "native"
    try:
        return _native(database, place, key) if native else _of_engine(estate, place, key)
    except HoldfastError as error:
        told = Finding(subject, False, _told(error))
        return [told, *_programs(database, key, None)] if native else [told]


def _of_engine(estate: Estate, place: Place, key: str) -> Sequence[Finding]:
    began = time.monotonic()
    subject = f"databases.{key}"
    found = engine_for(estate, key, place.config, data_dir=place.data_dir).check()
    took_ms = (time.monotonic() - began) * 1000
    if found:
        return [Finding(subject, False, f"{each.text}: {each.hint}", took_ms) for each in found]
    return [Finding(subject, True, f"{estate.databases[key].engine} is ready", took_ms)]


def _native(database: Database, place: Place, key: str) -> Sequence[Finding]:
    began = time.monotonic()
    subject = f"databases.{key}"
    asked = Asked(Mode(database.mode), slot_name(key), bool(database.heartbeat))
    ready = readiness(params_for(database.connection, place.config), asked.slot)
    took_ms = (time.monotonic() - began) * 1000
    short = list(shortcomings(ready, asked, datetime.now(UTC)))
    findings = [
        Finding(subject, not each.stops, f"{each.text}: {each.hint}", took_ms, warning=not each.stops)
        for each in short
    ]
    if not any(each.stops for each in short):
        findings.insert(0, Finding(subject, True, summary(ready, asked), took_ms))
    return [*findings, *_programs(database, key, ready)]


def _programs(database: Database, key: str, ready: Readiness | None) -> Iterator[Finding]:
    """Those that copies are verified, and restored, with."""
    subject = f"databases.{key}.verification"
    declared = database.verification.bin_dir
    try:
        build = Programs(Path(declared) if declared else None).build
    except BackupError as error:
        yield Finding(subject, False, _told(error))
        return
    told = f"PostgreSQL {build.major}" + ("" if build.minor is None else f".{build.minor}")
    if ready is None:
        yield Finding(subject, True, f"{told} in {build.folder}; whether it fits the server is unknown")
        return
    major = ready.version // 10_000
    if major != build.major:
        text = f"the server is PostgreSQL {major}, and {build.folder} is {told}"
        yield Finding(
            subject, False, f"{text}: name the programs of PostgreSQL {major} in verification.bin_dir"
        )
        return
    needed = Needs(uses=ready.needs.uses, locales=ready.needs.locales)
    stopping = [_joined(each) for each in missing(needed, build.offer, build.folder, major)]
    lesser = [
        _joined(each)
        for each in missing(
            Needs(ready.needs.extensions, ready.needs.libraries), build.offer, build.folder, major
        )
    ]
    yield from (Finding(subject, False, each) for each in stopping)
    yield from (Finding(subject, True, each, warning=True) for each in lesser)
    if not (stopping or lesser):
        yield Finding(subject, True, f"{told} in {build.folder}")


def _joined(each: tuple[str, str]) -> str:
    return ": ".join(each)


def _told(error: HoldfastError) -> str:
    return f"{error}: {error.hint}" if error.hint else str(error)

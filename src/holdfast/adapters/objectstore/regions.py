"""A region's store of objects: a folder, S3, Azure Blob Storage or Google Cloud Storage, behind one `Region`.

An object is put by one request that fails when the key is taken (If-None-Match), so that it is there whole
or not at all, and nothing ever overwrites. Each call is bounded in time: small ones to seconds, those that
move a chunk to minutes. Whoever asks has its own, longer patience, and other regions to look after meanwhile.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import from_url

from holdfast.adapters.objectstore.bucket import in_a_line
from holdfast.adapters.objectstore.folder import FolderRegion
from holdfast.adapters.objectstore.locks import ObjectLocks
from holdfast.backup.errors import AlreadyThere, RegionAway, RegionError, RegionRefused
from holdfast.backup.layout import wrong_key
from holdfast.backup.ports import Listed, Region

if TYPE_CHECKING:  # names that only the library's stubs have
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

Lock = Literal["none", "governance", "compliance"]
T = TypeVar("T")

CONNECT = timedelta(seconds=5)
QUICK = timedelta(seconds=20)
"""For what moves little: a record, a listing's page, a deletion."""
MOVING = timedelta(seconds=180)
"""For a chunk: 64 MiB at 3 Mbit/s."""
SMALL_BYTES = 1 << 20
RETRY_WITHIN_S = 5.0
_PAUSES_S = (0.05, 0.5)
_PAGE = 1000
_FULL = re.compile(r"XMinioStorageFull|QuotaExceeded|InsufficientStorage|status code: 507\b")
_NO_RETRIES: "RetryConfig" = {"max_retries": 0, "retry_timeout": timedelta(0)}
_CLIENT = ("allow_http", "proxy_url", "user_agent")
"""Options that are the HTTP client's, not the store's."""


class ObjectStoreRegion:
    """A `Region` over an object store. `quick` and `moving` are the same store with different patience."""

    def __init__(
        self,
        name: str,
        quick: "ObjectStore",
        moving: "ObjectStore",
        secrets: Sequence[str] = (),
        locks: ObjectLocks | None = None,
    ) -> None:
        self.name = name
        self._quick = quick
        self._moving = moving
        self._secrets = [each for each in secrets if each]
        self._locks = locks

    def put(self, key: str, content: bytes | memoryview) -> None:
        self._checked(key)
        store = self._store_for(len(content))
        unsure = False

        def once() -> None:
            nonlocal unsure
            try:
                with self._asking(key):
                    obstore.put(store, key, content, mode="create", use_multipart=False)
            except RegionAway:
                # It may have arrived, and only the answer was lost.
                unsure = True
                raise
            except AlreadyThere:
                if not (unsure and self._is(key, content)):
                    raise

        self._patiently(once)

    def replace(self, key: str, content: bytes | memoryview) -> None:
        self._checked(key)
        store = self._store_for(len(content))

        def once() -> None:
            with self._asking(key):
                obstore.put(store, key, content, mode="overwrite", use_multipart=False)

        self._patiently(once)

    def get(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        self._checked(key)
        return self._quickly(key, lambda: self._got(key, start, end))

    def _got(self, key: str, start: int, end: int | None) -> bytes:
        if start == 0 and end is None:
            # As it comes: all at once it would be in memory twice, the library's and ours.
            content = BytesIO()
            for part in obstore.get(self._moving, key).stream(min_chunk_size=SMALL_BYTES):
                content.write(part)
            return content.getvalue()
        # A range that reaches behind the end is an error to some stores, and to others it is cut off.
        size = obstore.head(self._quick, key)["size"]
        end = size if end is None else min(end, size)
        if start >= end:
            return b""
        return bytes(obstore.get_range(self._store_for(end - start), key, start=start, end=end))

    def listed(self, prefix: str, after: str = "") -> Iterator[Listed]:
        # The library takes whole folders, so what begins only alike is left out here.
        folder = prefix.rpartition("/")[0]
        before = after
        stream = self._quickly(
            prefix,
            lambda: obstore.list(self._quick, prefix=folder or None, offset=after or None, chunk_size=_PAGE),
        )
        while page := self._page(prefix, stream):
            for each in page:
                key = each["path"]
                if not key.startswith(prefix) or key <= after:
                    continue
                if key <= before:
                    hint = "S3 directory buckets do: take an ordinary one"
                    raise RegionRefused(f"{self.name}: it lists objects in no order", hint=hint)
                before = key
                yield Listed(key, each["size"], each["last_modified"])

    def _page(self, prefix: str, stream: Any) -> Sequence[Any]:
        # A page that failed cannot be asked for again: the stream is over then.
        with self._asking(prefix):
            page: Sequence[Any] = next(stream, ())
        return page

    def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            self._checked(key)
        if not keys:
            return
        if self._locks is not None:
            self._locks.delete(keys)
            return
        self._patiently(lambda: self._delete(list(keys)))

    def _delete(self, keys: list[str]) -> None:
        try:
            with self._asking(keys[0]):
                obstore.delete(self._quick, keys)
        except FileNotFoundError:
            # Some stores mind one that is gone already, and do not tell which, nor what became of the others.
            for key in keys:
                try:
                    with self._asking(key):
                        obstore.delete(self._quick, key)
                except FileNotFoundError:
                    continue

    def lock(self, key: str, until: datetime) -> bool:
        self._checked(key)
        if self._locks is None:
            return False
        self._locks.lock(key, until)
        return True

    def locked_until(self, key: str) -> datetime | None:
        self._checked(key)
        if self._locks is None:
            return None
        try:
            return self._locks.locked_until(key)
        except FileNotFoundError:
            return None

    def hidden(self, prefix: str) -> Sequence[str]:
        """Keys of objects that a plain delete hid. Known of buckets with locks alone: they keep versions."""
        return [] if self._locks is None else self._locks.hidden(prefix)

    def unhide(self, keys: Sequence[str]) -> None:
        if self._locks is not None and keys:
            self._locks.unhide(keys)

    def earlier(self, key: str) -> Iterator[bytes]:
        return iter(()) if self._locks is None else self._locks.earlier(key)

    def kept_until(self, key: str) -> datetime | None:
        return None if self._locks is None else self._locks.kept_until(key)

    def _is(self, key: str, content: bytes | memoryview) -> bool:
        """Whether exactly that is stored there."""
        try:
            return self.get(key) == content
        except (RegionError, FileNotFoundError):
            return False

    def _store_for(self, size: int) -> "ObjectStore":
        return self._quick if size <= SMALL_BYTES else self._moving

    def _checked(self, key: str) -> None:
        if wrong := wrong_key(key):
            raise RegionRefused(f"{self.name}: {key[:100]!r}: {wrong}")

    def _quickly(self, key: str, ask: Callable[[], T]) -> T:
        def once() -> T:
            with self._asking(key):
                return ask()

        return self._patiently(once)

    def _patiently(self, once: Callable[[], T]) -> T:
        """Again after a hiccup, and soon no more."""
        began = time.monotonic()
        for pause in _PAUSES_S:
            try:
                return once()
            except RegionAway:
                if time.monotonic() - began > RETRY_WITHIN_S:
                    raise
                time.sleep(pause)
        return once()

    @contextmanager
    def _asking(self, key: str) -> Iterator[None]:
        """Turns what goes wrong into our words, without secrets."""
        try:
            yield
        except FileNotFoundError:
            raise FileNotFoundError(f"{self.name}: {key}") from None
        except AlreadyExistsError:
            raise AlreadyThere(f"{self.name}: {key} is there already") from None
        except (UnauthenticatedError, PermissionDeniedError, PermissionError) as error:
            hint = "look at the store's options and rights"
            raise RegionRefused(self._told(error), hint=hint) from None
        except (BaseError, OSError, TimeoutError) as error:
            told = self._told(error)
            if _is_full(told):
                raise RegionRefused(told, hint="make room in the store, or keep less") from None
            raise RegionAway(told) from None

    def _told(self, error: BaseException) -> str:
        return f"{self.name}: {in_a_line(error, self._secrets)}"


def open_region(
    name: str, to: str, options: Mapping[str, str], lock: Lock = "none", *, begun: Path | None = None
) -> Region:
    """The store at `to` (file, s3, az, azure, gs) as the region `name`. Raises RegionRefused.

    Talks to nobody yet. `begun`: what remembers that a folder's store was begun.
    """
    address = urlsplit(to)
    if lock != "none" and address.scheme != "s3":
        raise RegionRefused(f"{name}: only S3 has Object Lock", hint="leave `lock` out")
    if address.scheme == "file":
        return _folder(name, unquote(address.path), options, begun)
    config = {key: value for key, value in options.items() if key not in _CLIENT}
    if lock != "none":
        # S3 takes an object that may be locked only with its checksum.
        config.setdefault("checksum_algorithm", "SHA256")
    client: dict[str, Any] = {key: options[key] for key in _CLIENT if key in options}
    if "allow_http" in client:
        client["allow_http"] = client["allow_http"].lower() == "true"
    quick, moving = (
        _opened(name, to, config, {**client, "timeout": timeout, "connect_timeout": CONNECT})
        for timeout in (QUICK, MOVING)
    )
    locks = ObjectLocks(name, to, options, lock) if lock != "none" else None
    return ObjectStoreRegion(name, quick, moving, list(config.values()), locks)


def _folder(name: str, path: str, options: Mapping[str, str], begun: Path | None) -> FolderRegion:
    if options:
        raise RegionRefused(f"{name}: a folder takes no options", hint=f"leave out: {', '.join(options)}")
    return FolderRegion(name, Path(path), begun)


def _opened(name: str, to: str, config: Mapping[str, str], client: Mapping[str, Any]) -> "ObjectStore":
    options: ClientConfig = client  # type: ignore[assignment]
    try:
        return from_url(to, config=dict(config), client_options=options, retry_config=_NO_RETRIES)  # type: ignore[call-overload,no-any-return]
    except BaseException as error:
        # A panic of the library is no Exception, and still a matter of this one place, not of the process.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        told = in_a_line(error, list(config.values()))
        raise RegionRefused(f"{name}: {told}", hint=f"look at backup.stores.{name}") from None


def _is_full(told: str) -> bool:
    # The number as a status alone: the library's words hold others too, such as how long it took.
    return _FULL.search(told) is not None

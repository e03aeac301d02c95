"""A place that holds objects by their paths: a folder, S3, Azure Blob Storage or Google Cloud Storage.

Retries are short: whoever asks has its own, longer patience, and other places to look after meanwhile.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import LocalStore, from_url

from holdfast.kernel.errors import HoldfastError, Remedy

if TYPE_CHECKING:  # names that only the library's stubs have
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

RETRIES: "RetryConfig" = {
    "max_retries": 2,
    "retry_timeout": timedelta(seconds=5),
    "backoff": {
        "init_backoff": timedelta(milliseconds=50),
        "max_backoff": timedelta(milliseconds=500),
        "base": 2,
    },
}
TIMEOUT = timedelta(seconds=20)
_CLIENT = ("allow_http", "proxy_url", "user_agent")
"""Options that are the HTTP client's, not the store's."""


class BucketError(HoldfastError):
    """The object store did not do it."""


class BucketAway(BucketError):  # noqa: N818  a state of affairs more than an error
    """It does not answer, or not now."""

    remedy = Remedy.TRANSIENT


class BucketRefused(BucketError):  # noqa: N818
    """It refuses: the address, the options or the rights are wrong."""

    remedy = Remedy.NEEDS_OPERATOR


class Bucket:
    """Objects below one address. Paths are relative to it, with slashes."""

    def __init__(self, store: "ObjectStore", secrets: Collection[str] = ()) -> None:
        self._store = store
        self._secrets = [each for each in secrets if each]
        # A file has no attributes: a web server goes by its ending.
        self._plain = isinstance(store, LocalStore)

    async def put(self, path: str, content: bytes, *, media_type: str, cache: str) -> None:
        """Store an object, whole or not at all, in the place of what was there."""
        attributes = None if self._plain else {"Content-Type": media_type, "Cache-Control": cache}
        async with self._asking():
            await obstore.put_async(
                self._store,
                path,
                content,
                attributes=attributes,
                use_multipart=False,
            )

    async def get(self, path: str) -> bytes | None:
        """An object's content; None when there is none."""
        try:
            async with self._asking():
                found = await obstore.get_async(self._store, path)
                return bytes(await found.bytes_async())
        except FileNotFoundError:
            return None

    async def delete(self, path: str) -> None:
        """Let go of an object, which may be gone already."""
        try:
            async with self._asking():
                await obstore.delete_async(self._store, path)
        except FileNotFoundError:
            return

    async def paths(self) -> list[str]:
        """Every object's path."""
        async with self._asking():
            listed = await obstore.list(self._store).collect_async()
        return sorted(each["path"] for each in listed)

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[None]:
        """Bounds one request in time, and turns what goes wrong into our words, without secrets."""
        try:
            async with asyncio.timeout(TIMEOUT.total_seconds() * 2):
                yield
        except FileNotFoundError:
            raise
        except (UnauthenticatedError, PermissionDeniedError, PermissionError) as error:
            raise BucketRefused(self._told(error), hint="look at the options and the rights") from None
        except (BaseError, OSError, TimeoutError) as error:
            raise BucketAway(self._told(error)) from None

    def _told(self, error: BaseException) -> str:
        return in_a_line(error, self._secrets)


def open_bucket(url: str, options: Mapping[str, str]) -> Bucket:
    """The bucket at `url` (file, s3, az, azure, gs). Raises BucketRefused. Talks to nobody yet."""
    client: dict[str, Any] = {"timeout": TIMEOUT, "connect_timeout": timedelta(seconds=5)}
    client |= {name: options[name] for name in _CLIENT if name in options}
    if "allow_http" in client:
        client["allow_http"] = client["allow_http"].lower() == "true"
    config = {name: value for name, value in options.items() if name not in _CLIENT}
    return Bucket(_guarded(lambda: _store(url, config, client), config.values()), config.values())


def _store(url: str, config: Mapping[str, str], client: Mapping[str, Any]) -> "ObjectStore":
    if url.startswith("file:"):
        if config:
            raise BucketRefused("a folder takes no options", hint=f"leave out: {', '.join(config)}")
        return from_url(url, mkdir=True)
    options: ClientConfig = client  # type: ignore[assignment]
    return from_url(url, config=dict(config), client_options=options, retry_config=RETRIES)  # type: ignore[call-overload,no-any-return]


def _guarded(make: "Callable[[], ObjectStore]", secrets: Collection[str]) -> "ObjectStore":
    try:
        return make()
    except BucketRefused:
        raise
    except BaseException as error:
        # A panic of the library is no Exception, and still a matter of this one place, not of the process.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise BucketRefused(in_a_line(error, secrets), hint="look at `site.publish`") from None


def in_a_line(error: BaseException, secrets: Collection[str]) -> str:
    """What went wrong, in one line, with no secret and no signed address in it."""
    text = (str(error) or type(error).__name__).split("Debug source")[0]
    for each in sorted((each for each in secrets if len(each) >= 6), key=len, reverse=True):
        text = text.replace(each, "***")
    words = [word.partition("?")[0] if "://" in word else word for word in text.split()]
    return " ".join(words)[:300]

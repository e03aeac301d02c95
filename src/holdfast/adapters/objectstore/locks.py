"""S3 Object Lock: until a date nobody deletes an object's version, in compliance mode not even the owner.

obstore knows nothing of it, so this speaks through boto3, which is loaded when it is first needed. A bucket
with Object Lock keeps versions, and a plain delete only hides an object there. So here an object is deleted
by its versions, or the bucket would never get smaller; one that was hidden or overwritten is still below.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import cached_property
from os.path import commonprefix
from typing import Any, Literal
from urllib.parse import urlsplit

from holdfast.adapters.objectstore.bucket import in_a_line
from holdfast.backup.errors import RegionAway, RegionRefused

Mode = Literal["governance", "compliance"]
_AT_ONCE = 1000
"""Versions that one DeleteObjects takes."""
_ABSENT = ("NoSuchKey", "NoSuchVersion", "404", "MethodNotAllowed")
_PASSING = ("SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout", "Throttling", "500", "503")


class ObjectLocks:
    """The locks of the objects below an s3:// address. Keys are relative to it. Thread-safe."""

    def __init__(self, region: str, url: str, options: Mapping[str, str], mode: Mode) -> None:
        address = urlsplit(url)
        self._region = region
        self._bucket = address.netloc
        self._prefix = f"{address.path.strip('/')}/" if address.path.strip("/") else ""
        self._options = {name.removeprefix("aws_"): value for name, value in options.items()}
        self._mode = mode.upper()

    def lock(self, key: str, until: datetime) -> None:
        """Lock the newest version until then, or longer if it is already. FileNotFoundError."""
        standing = self.locked_until(key)
        if standing is not None and standing >= until:
            return
        retention = {"Mode": self._mode, "RetainUntilDate": until.astimezone(UTC)}
        with self._asking(key):
            self._client.put_object_retention(
                Bucket=self._bucket, Key=self._prefix + key, Retention=retention, ChecksumAlgorithm="SHA256"
            )

    def locked_until(self, key: str, version: str = "") -> datetime | None:
        """Until when a version, the newest one, is locked, or None. Raises FileNotFoundError.

        S3 tells it only to those who may s3:GetObjectRetention.
        """
        which = {"VersionId": version} if version else {}
        with self._asking(key):
            found = self._client.head_object(Bucket=self._bucket, Key=self._prefix + key, **which)
        until: datetime | None = found.get("ObjectLockRetainUntilDate")
        return None if until is None else until.astimezone(UTC)

    def delete(self, keys: Sequence[str]) -> None:
        """Delete all versions of objects. RegionRefused when one is locked; the others are gone then."""
        refused: list[str] = []
        names = sorted(self._prefix + key for key in keys)
        for first in range(0, len(names), _AT_ONCE):
            doomed: list[dict[str, str]] = []
            for version in self._versions(names[first : first + _AT_ONCE]):
                doomed.append(version)
                if len(doomed) == _AT_ONCE:
                    refused += self._delete_versions(doomed)
                    doomed = []
            if doomed:
                refused += self._delete_versions(doomed)
        if refused:
            hint = "its lock ends later, or the right is missing: s3:DeleteObjectVersion"
            raise RegionRefused(f"{self._region}: {refused[0]} is not let go", hint=hint)

    def hidden(self, prefix: str) -> list[str]:
        """Keys below a delete marker. We delete by versions: it was somebody else's, or a rule's."""
        there: set[str] = set()
        hidden: set[str] = set()
        with self._asking(prefix):
            for page in self._pages(self._prefix + prefix):
                there |= {each["Key"] for each in page.get("Versions", ())}
                hidden |= {each["Key"] for each in page.get("DeleteMarkers", ()) if each["IsLatest"]}
        return sorted(key.removeprefix(self._prefix) for key in hidden & there)

    def unhide(self, keys: Sequence[str]) -> None:
        """Take the delete markers away."""
        names = sorted(self._prefix + key for key in keys)
        for first in range(0, len(names), _AT_ONCE):
            markers = list(self._versions(names[first : first + _AT_ONCE], kinds=("DeleteMarkers",)))
            for begin in range(0, len(markers), _AT_ONCE):
                if refused := self._delete_versions(markers[begin : begin + _AT_ONCE]):
                    hint = "the right is missing: s3:DeleteObjectVersion"
                    raise RegionRefused(f"{self._region}: {refused[0]} stays hidden", hint=hint)

    def earlier(self, key: str) -> Iterator[bytes]:
        """The contents of older versions, the newest first."""
        for version in self._versions_of(key)[1:]:
            with self._asking(key):
                found = self._client.get_object(
                    Bucket=self._bucket, Key=self._prefix + key, VersionId=version
                )
                with closing(found["Body"]) as body:
                    content: bytes = body.read()
            yield content

    def kept_until(self, key: str) -> datetime | None:
        """Until when any version is locked; None when none is."""
        found = [self.locked_until(key, version) for version in self._versions_of(key)]
        return max((each for each in found if each is not None), default=None)

    def _versions_of(self, key: str) -> list[str]:
        name = self._prefix + key
        with self._asking(key):
            found = [each for page in self._pages(name) for each in page.get("Versions", ())]
        own = [each for each in found if each["Key"] == name]
        own.sort(key=lambda each: (each["IsLatest"], each["LastModified"]), reverse=True)
        return [each["VersionId"] for each in own]

    def _versions(
        self, names: Sequence[str], kinds: Sequence[str] = ("Versions", "DeleteMarkers")
    ) -> Iterator[dict[str, str]]:
        """All versions of objects, given sorted. What is let go at once mostly lies together: one listing."""
        wanted = frozenset(names)
        with self._asking(names[0]):
            for page in self._pages(commonprefix(names)):  # noqa: RUF071  a prefix need be no folder
                for each in (each for kind in kinds for each in page.get(kind, ())):
                    if each["Key"] in wanted:
                        yield {"Key": each["Key"], "VersionId": each["VersionId"]}
                found = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
                if found and min(each["Key"] for each in found) > names[-1]:
                    return

    def _pages(self, prefix: str) -> Iterator[Mapping[str, Any]]:
        paginator = self._client.get_paginator("list_object_versions")
        yield from paginator.paginate(Bucket=self._bucket, Prefix=prefix)

    def _delete_versions(self, versions: Sequence[Mapping[str, str]]) -> list[str]:
        with self._asking(versions[0]["Key"]):
            answer = self._client.delete_objects(
                Bucket=self._bucket, Delete={"Objects": list(versions), "Quiet": True}
            )
        errors = answer.get("Errors", ())
        return [f"{each['Key'].removeprefix(self._prefix)} ({each.get('Code')})" for each in errors]

    @cached_property
    def _client(self) -> Any:
        import boto3  # type: ignore[import-untyped]  # noqa: PLC0415  it costs a sixth of a second, and few regions have locks
        from botocore.config import Config  # type: ignore[import-untyped]  # noqa: PLC0415

        options = self._options
        virtual = options.get("virtual_hosted_style_request", "").lower() == "true"
        endpoint = options.get("endpoint_url_s3") or options.get("endpoint") or options.get("endpoint_url")
        proxy = options.get("proxy_url")
        session = boto3.session.Session(
            aws_access_key_id=options.get("access_key_id"),
            aws_secret_access_key=options.get("secret_access_key"),
            aws_session_token=options.get("session_token") or options.get("token"),
            region_name=options.get("region") or options.get("default_region") or "us-east-1",
        )
        config = Config(
            connect_timeout=5,
            read_timeout=20,
            retries={"max_attempts": 2, "mode": "standard"},
            s3={"addressing_style": "virtual" if virtual else "path"},
            proxies={"http": proxy, "https": proxy} if proxy else None,
        )
        # An address with the bucket's own name in it is obstore's way of saying where virtual hosts are.
        if endpoint and virtual:
            endpoint = endpoint.replace(f"://{self._bucket}.", "://", 1)
        return session.client("s3", endpoint_url=endpoint, config=config)

    @contextmanager
    def _asking(self, key: str) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]  # noqa: PLC0415

        try:
            yield
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code in _ABSENT:
                raise FileNotFoundError(key) from None
            told = f"{self._region}: {key}: {in_a_line(error, self._options.values())}"
            if code in _PASSING:
                raise RegionAway(told) from None
            hint = (
                "has the bucket Object Lock, and we the rights? s3:PutObjectRetention, s3:GetObjectRetention"
            )
            raise RegionRefused(told, hint=hint) from None
        except BotoCoreError as error:
            raise RegionAway(f"{self._region}: {in_a_line(error, self._options.values())}") from None

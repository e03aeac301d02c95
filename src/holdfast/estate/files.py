"""The files that an estate refers to, looked at as far as the estate needs them."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from holdfast.estate.findings import Finding
from holdfast.estate.model import Cluster, Component, Estate
from holdfast.kernel.errors import HoldfastError

MAX_LOGO_BYTES = 256 * 1024
_PNG = b"\x89PNG\r\n\x1a\n"
_SVG = re.compile(rb"\A(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*\?>\s*)?(?:<!--.*?-->\s*)*<svg[\s>/]", re.DOTALL)
_ACTIVE = re.compile(rb"<script|<!ENTITY|<!DOCTYPE|javascript:|\son\w+\s*=", re.IGNORECASE)


class FileTroubleError(HoldfastError):
    """A file cannot be used."""


def file_findings(estate: Estate, base: Path) -> Iterator[Finding]:
    """What is wrong with the logo and the authority files; relative names begin at `base`."""
    logo: str | None = getattr(getattr(estate, "site", None), "logo", None)
    if logo is not None:
        yield from _logo(base, logo)
    clusters: Mapping[str, Cluster] = getattr(estate, "clusters", {})
    for cluster_key, cluster in clusters.items():
        components: Mapping[str, Component] = getattr(cluster, "components", {})
        for key, component in components.items():
            for check_key, check in getattr(component, "checks", {}).items():
                path = ("clusters", cluster_key, "components", key, "checks", check_key, "ca_file")
                if name := getattr(check, "ca_file", None):
                    yield from _authorities(base, name, path)


def _logo(base: Path, name: str) -> Iterator[Finding]:
    where = ("site", "logo")
    try:
        content = _read(base / name, MAX_LOGO_BYTES)
    except FileTroubleError as error:
        yield Finding(where, str(error), error.hint)
        return
    if content.startswith(_PNG):
        return
    if not _SVG.match(content):
        yield Finding(where, f"`{name}` is neither an SVG nor a PNG", "save the logo in one of the two")
    elif _ACTIVE.search(content):
        yield Finding(
            where, f"`{name}` is an SVG that does more than show", "save it as a plain SVG, without scripts"
        )


def _authorities(base: Path, name: str, where: tuple[str, ...]) -> Iterator[Finding]:
    try:
        content = _read(base / name, 4 * 1024 * 1024)
    except FileTroubleError as error:
        yield Finding(where, str(error), error.hint)
        return
    if b"-----BEGIN CERTIFICATE-----" not in content:
        yield Finding(where, f"`{name}` holds no certificate", "give the authority's certificates in PEM")


def _read(path: Path, limit: int) -> bytes:
    """The file's bytes; raises FileTroubleError when it cannot be read or is larger than `limit`."""
    try:
        if not path.is_file():
            missing = not path.exists()
            raise FileTroubleError(
                "there is no such file" if missing else "not a file", hint=f"looked for {path}"
            )
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise FileTroubleError(f"cannot be read: {error.strerror}", hint=f"looked at {path}") from error
    except ValueError as error:
        raise FileTroubleError("not a possible file name") from error
    if len(content) > limit:
        raise FileTroubleError(f"larger than {limit // 1024} KiB", hint="make it smaller")
    return content

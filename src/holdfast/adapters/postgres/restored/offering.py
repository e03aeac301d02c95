"""What PostgreSQL's programs on this machine have: features, extensions, libraries. Their pg_config tells."""

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from holdfast.adapters.postgres.restored.asking import run
from holdfast.adapters.postgres.server.binaries import Binaries
from holdfast.backup.errors import RestoreFailed
from holdfast.backup.restore.needs import Offer, folded

_ICU_BY_DEFAULT = 16
_LARGEST_CONTROL = 64 * 1024
_DEFAULT_VERSION = re.compile(r"^\s*default_version\s*=\s*'([^']*)'", re.MULTILINE)
_MINOR = re.compile(r"PostgreSQL \d+\.(\d+)")
_SIZES = re.compile(r"(?:--with-|-D)(wal[-_]blocksize|blocksize|segsize)=(\d+)")


def offer_of(binaries: Binaries) -> Offer:
    """All of it. What they do not tell, as without a pg_config, is unknown."""
    configure = _told(binaries, "--configure")
    shared, libraries = _told(binaries, "--sharedir"), _told(binaries, "--pkglibdir")
    lacks = lacking(configure, binaries.major) if configure else None
    block, file, wal_block = _blocks(configure) if configure else (None, None, None)
    return Offer(
        lacks,
        _extensions(Path(shared) / "extension") if shared else None,
        _libraries(Path(libraries)) if libraries else None,
        _locales(),
        block,
        file,
        wal_block,
        _libc(),
    )


def minor_of(binaries: Binaries) -> int | None:
    """The 4 of 18.4; None for what is no release."""
    try:
        ended = run([binaries.postgres, "--version"])
    except RestoreFailed:
        return None
    match = _MINOR.search(ended.stdout.replace("(PostgreSQL)", "PostgreSQL"))
    return int(match[1]) if match else None


def lacking(configure: str, major: int) -> frozenset[str]:
    """What a build lacks, from what `pg_config --configure` prints."""
    has_icu = "--with-icu" in configure or (major >= _ICU_BY_DEFAULT and "--without-icu" not in configure)
    # Built with meson it prints -Dicu=enabled and the like.
    return frozenset(
        name
        for name, has in (
            ("icu", has_icu and "-Dicu=disabled" not in configure),
            ("lz4", "--with-lz4" in configure or "-Dlz4=enabled" in configure),
            ("zstd", "--with-zstd" in configure or "-Dzstd=enabled" in configure),
        )
        if not has
    )


def _blocks(configure: str) -> tuple[int, int, int]:
    """Bytes of a block, blocks of a file, bytes of a block of WAL. Told in KiB, GiB and KiB."""
    told = {match[1].replace("_", "-"): int(match[2]) for match in _SIZES.finditer(configure)}
    block = told.get("blocksize", 8) << 10
    return block, (told.get("segsize", 1) << 30) // block, told.get("wal-blocksize", 8) << 10


def _told(binaries: Binaries, option: str) -> str:
    try:
        ended = run([str(binaries.folder / "pg_config"), option])
    except RestoreFailed:
        return ""
    return ended.stdout.strip() if ended.returncode == 0 else ""


def _extensions(folder: Path) -> Mapping[str, str] | None:
    """Name to the version that `CREATE EXTENSION` would take; empty where its control file does not tell."""
    found = {}
    try:
        for path in folder.glob("*.control"):
            # `postgis--3.4.control` changes what holds for one version.
            if "--" not in path.stem:
                with path.open(encoding="utf-8", errors="replace") as file:
                    match = _DEFAULT_VERSION.search(file.read(_LARGEST_CONTROL))
                found[path.stem] = match[1] if match else ""
    except OSError:
        return None
    return found if folder.is_dir() else None


def _libraries(folder: Path) -> frozenset[str] | None:
    if not folder.is_dir():
        return None
    # In folders below it as well: `$libdir/plugins/NAME`.
    found = [*folder.glob("*.so"), *folder.glob("*/*.so")]
    return frozenset(str(each.relative_to(folder).with_suffix("")) for each in found)


def _libc() -> str | None:
    """As PostgreSQL records it of what it sorts by: `2.36`. Other systems' libraries tell no version."""
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (ValueError, OSError):
        return None
    return version if name == "glibc" else None


def _locales() -> frozenset[str] | None:
    program = shutil.which("locale")
    if program is None:
        return None
    try:
        ended = run([program, "-a"])
    except RestoreFailed:
        return None
    return frozenset(map(folded, ended.stdout.split())) if ended.returncode == 0 else None

"""Who is a superuser in a data directory whose server does not run: nobody told us, and somebody must log in.

Source: PostgreSQL `src/backend/utils/cache/relmapper.c`, `src/include/storage/bufpage.h`,
`src/include/catalog/pg_authid.h` (its beginning is the same from 12 to 18).
"""

import struct
from collections.abc import Iterator
from pathlib import Path

_AUTHID = 1260
_MAP_MAGIC = 0x592717
_MOST_MAPPED = 64
_PAGE = 8192
_NORMAL = 1
_NAME = 64
_FIRST_ROLE = 10


def superusers(data: Path) -> list[str]:
    """Names of superusers that may log in, as the files tell: the cluster's first role before others.

    Some may be gone or renamed meanwhile: it is read without the server. Empty when nothing is understood.
    """
    try:
        content = (data / "global" / str(_filenumber(data))).read_bytes()
    except OSError:
        return []
    roles = {
        oid: name
        for page in range(0, len(content), _PAGE)
        for oid, name in _roles(content[page : page + _PAGE])
    }
    return [roles[oid] for oid in sorted(roles, key=lambda oid: (oid != _FIRST_ROLE, oid))]


def _filenumber(data: Path) -> int:
    content = (data / "global" / "pg_filenode.map").read_bytes()
    magic, count = struct.unpack_from("<ii", content)
    if magic == _MAP_MAGIC and 0 <= count <= _MOST_MAPPED:
        for at in range(count):
            relation, number = struct.unpack_from("<II", content, 8 + 8 * at)
            if relation == _AUTHID:
                return int(number)
    return _AUTHID


def _roles(page: bytes) -> Iterator[tuple[int, str]]:
    if len(page) < _PAGE:
        return
    (lower,) = struct.unpack_from("<H", page, 12)
    for at in range(24, min(lower, _PAGE - 4), 4):
        (pointer,) = struct.unpack_from("<I", page, at)
        start, flags, length = pointer & 0x7FFF, pointer >> 15 & 3, pointer >> 17
        if flags != _NORMAL or start + length > _PAGE or length < 24:
            continue
        row = page[start + page[start + 22] : start + length]
        if len(row) < 4 + _NAME + 5:
            continue
        # oid, name, then one byte each: superuser, inherit, createrole, createdb, canlogin.
        is_super, can_login = row[4 + _NAME], row[4 + _NAME + 4]
        if is_super == 1 and can_login == 1:
            (oid,) = struct.unpack_from("<I", row)
            yield oid, row[4 : 4 + _NAME].rstrip(b"\0").decode(errors="replace")

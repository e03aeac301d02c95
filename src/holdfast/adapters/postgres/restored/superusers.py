"""Who is a superuser in a data directory whose server does not run: nobody told us, and somebody must log in.

Source: PostgreSQL `src/include/catalog/pg_authid.h` (its beginning is the same from 12 to 18).
"""

import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from holdfast.adapters.postgres.restored.heap_pages import MAP, NAME_BYTES, mapped, name_at, rows_in

_AUTHID = 1260
_FIRST_ROLE = 10


def superusers(data: Path) -> list[str]:
    """Names of superusers that may log in, as the files tell: the cluster's first role before others.

    Some may be gone or renamed meanwhile: it is read without the server. Empty when nothing is understood.
    """
    roles: dict[int, str] = {}
    with suppress(OSError):
        number = mapped((data / "global" / MAP).read_bytes()).get(_AUTHID, _AUTHID)
        roles = dict(_roles([data / "global" / str(number)]))
    return [roles[oid] for oid in sorted(roles, key=lambda oid: (oid != _FIRST_ROLE, oid))]


def _roles(paths: list[Path]) -> Iterator[tuple[int, str]]:
    for row in rows_in(paths):
        if len(row) < 4 + NAME_BYTES + 5:
            continue
        # oid, name, then one byte each: superuser, inherit, createrole, createdb, canlogin.
        is_super, can_login = row[4 + NAME_BYTES], row[4 + NAME_BYTES + 4]
        if is_super == 1 and can_login == 1:
            (oid,) = struct.unpack_from("<I", row)
            yield oid, name_at(row, 4)

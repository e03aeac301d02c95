"""What `global/pg_control` tells of a copy that does not run. Pure.

Source: PostgreSQL `src/include/catalog/pg_control.h`; the fields read here lie at the same place since 9.6.
"""

import struct
from dataclasses import dataclass

from holdfast.backup.errors import Damaged
from holdfast.backup.lsn import Lsn, Timeline

PATH = "global/pg_control"
SHUT_DOWN, SHUT_DOWN_IN_RECOVERY = 1, 2
_FIELDS = struct.Struct("<QIII4xqQQI")
_OLDEST, _NEWEST = 1300, 1999


@dataclass(frozen=True, slots=True)
class Control:
    """`redo` is where recovery begins when the copy is started again, on `timeline`: everything before it has
    been written out.
    """

    system_id: int
    state: int
    redo: Lsn
    timeline: Timeline

    @property
    def is_shut_down(self) -> bool:
        """Whether it ended by itself, and not by being killed."""
        return self.state in (SHUT_DOWN, SHUT_DOWN_IN_RECOVERY)


def control_of(content: bytes) -> Control:
    """Raises Damaged for what is no such file of a version from 14 on."""
    if len(content) < _FIELDS.size:
        raise Damaged(f"{PATH} has {len(content)} bytes")
    system_id, version, _, state, _, _, redo, timeline = _FIELDS.unpack_from(content)
    if not _OLDEST <= version <= _NEWEST:
        raise Damaged(f"{PATH} is of version {version}, which is not known")
    return Control(system_id, state, Lsn(redo), Timeline(timeline))

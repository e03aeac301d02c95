"""Asks a protected server what it lets Holdfast do. Reads alone: two connections, and some settings.

Source: PostgreSQL "Streaming Replication Protocol", SHOW; the view pg_replication_slots.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

from holdfast.adapters.postgres.replication.connection import Connection
from holdfast.backup.errors import SourceError, SourceRefused
from holdfast.backup.restore.needs import Needs
from holdfast.backup.take.readiness import INCREMENTS_SINCE, Readiness, SlotState
from holdfast.backup.verify.needs import CLUSTER, DATABASE, learned

ANSWER_S = 10.0
_SETTINGS = (
    "server_version",
    "wal_level",
    "max_wal_senders",
    "max_replication_slots",
    "archive_mode",
    "archive_command",
    "synchronous_standby_names",
    "wal_compression",
)
_STATE = """
SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
       (SELECT count(*) FROM pg_catalog.pg_replication_slots),
       (SELECT count(*) FROM pg_catalog.pg_stat_replication)
"""
_SLOT = "SELECT active, wal_status FROM pg_catalog.pg_replication_slots WHERE slot_name = '{slot}'"


def readiness(params: Mapping[str, str], slot: str) -> Readiness:
    """What a server tells this login. `slot` is one of ours. Raises SourceAway, SourceRefused."""
    with Connection(params, application_name="holdfast check") as connection:
        version = connection.server_version
        names = _SETTINGS + (("summarize_wal",) if version >= INCREMENTS_SINCE else ())
        settings = {name: told for name in names if (told := _shown(connection, name)) is not None}
    try:
        with Connection(params, application_name="holdfast check", database=True) as connection:
            return _by_sql(connection, version, settings, params.get("dbname", ""), slot)
    except SourceRefused as error:
        return Readiness(version, settings, sql_refused=str(error))


def _shown(connection: Connection, name: str) -> str | None:
    try:
        rows = connection.ask(f"SHOW {name}", ANSWER_S)
    except SourceRefused:
        # A setting that this login may not see, or that this version has not.
        return None
    return (rows[0][0] or b"").decode(errors="replace") if rows else None


def _by_sql(
    connection: Connection, version: int, settings: Mapping[str, str], dbname: str, slot: str
) -> Readiness:
    ((now, slots, senders), *_) = connection.ask(_STATE, ANSWER_S)
    ours = connection.ask(_SLOT.format(slot=slot), ANSWER_S)
    state = SlotState(ours[0][0] == b"t", ours[0][1] == b"lost") if ours else None
    at = datetime.fromtimestamp(int(now or 0) / 1_000_000, UTC)
    return Readiness(
        version, settings, "", at, int(slots or 0), int(senders or 0), state, _needs(connection, dbname)
    )


def _needs(connection: Connection, dbname: str) -> Needs:
    """Of the whole server what every login sees, and of one database its extensions."""
    try:
        cluster = [_text(row) for row in connection.ask(CLUSTER, ANSWER_S)]
        own = [_text(row) for row in connection.ask(DATABASE, ANSWER_S)]
    except SourceError:
        return Needs()
    return learned(cluster, [], {dbname: own}, [])


def _text(row: tuple[bytes | None, ...]) -> tuple[str | None, ...]:
    return tuple(None if cell is None else cell.decode(errors="replace") for cell in row)

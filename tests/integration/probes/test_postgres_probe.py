"""PostgreSQL checks against the real server (also behind TLS) and against servers that break its protocol."""

import asyncio
import base64
import hashlib
import hmac
import struct
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest
from probe_targets import SECRETS, Authority, Conversation, serving
from real_servers import begin_tls, relay

from holdfast.adapters.probes import Probes
from holdfast.adapters.probes.scram import Scram, md5_answer
from holdfast.availability.judging import compile_check, judge
from holdfast.availability.model import Observation, Outcome
from holdfast.estate.checks import PostgresCheck

if TYPE_CHECKING:
    from conftest import Database  # type: ignore[attr-defined]


@pytest.fixture
async def reader(database: "Database") -> AsyncIterator["tuple[Database, dict[str, Any]]"]:
    """A database, and the keys of a check that logs in to it. Its server listens on a local socket only."""
    parameters = database.conninfo().parameters
    SECRETS["DATABASE"] = str(parameters["password"])
    path = f"{parameters['host']}/.s.PGSQL.{parameters['port']}"

    async def relayed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await relay(reader, writer, path)

    async with serving(relayed) as port:
        yield (
            database,
            {
                "type": "postgres",
                "host": "127.0.0.1",
                "port": port,
                "tls": False,
                "database": database.name,
                "user": parameters["user"],
                "password": "env:DATABASE",
            },
        )


def postgres(
    keys: dict[str, Any], query: str | None = None, *conditions: str, **fields: Any
) -> PostgresCheck:
    asked = {} if query is None else {"query": query}
    return PostgresCheck.model_validate({**keys, **asked, "conditions": conditions, **fields})


async def test_values_keep_their_kind(probes: Probes, reader: "tuple[Database, dict[str, Any]]") -> None:
    _, keys = reader
    for query, value in (
        ("SELECT 1", 1),
        ("SELECT 12.5::numeric", 12.5),
        ("SELECT 'NaN'::numeric", None),
        ("SELECT 1e300::float8", 1e300),
        ("SELECT true", True),
        ("SELECT 'grün'", "grün"),
        ("SELECT NULL", None),
        ("SELECT 1 AS a, 2 AS a", 1),
    ):
        observation = await probes.attempt(postgres(keys, query))
        assert observation.error is None, query
        row = observation.facts["row"]
        assert isinstance(row, dict)
        assert next(iter(row.values())) == value, query
        assert observation.facts["rows"] == 1


async def test_conditions(probes: Probes, reader: "tuple[Database, dict[str, Any]]") -> None:
    _, keys = reader
    for query, condition, reason in (
        ("SELECT 3", "value < 5", ""),
        ("SELECT 7", "value < 5", "value was 7, expected < 5"),
        ("SELECT NULL", "value == null", ""),
        ("SELECT NULL", "value < 5", "expected value to be < 5"),
        ("SELECT 1 WHERE false", "value < 5", "value is missing"),
        ("SELECT 1 WHERE false", "not value exists and rows == 0", ""),
        ("SELECT 'primary' AS role, 3 AS lag", 'column("role") == "primary" and column("lag") < 5', ""),
        (
            "SELECT 'standby' AS role",
            'column("role") == "primary"',
            'expected column("role") to be "primary"',
        ),
        ("SELECT 1", 'column("lag") < 5', 'column("lag") is missing'),
        ("SELECT generate_series(1, 5000)", "rows == 1000 and value == 1", ""),
        ("SELECT 1;", "rows == 1", ""),
        ("-- nothing", "rows == 0", ""),
    ):
        check = postgres(keys, query, condition)
        outcome, found = judge(compile_check(check), await probes.attempt(check))
        assert found == reason, query
        assert (outcome is Outcome.GOOD) == (not reason)


async def test_a_check_changes_nothing(probes: Probes, reader: "tuple[Database, dict[str, Any]]") -> None:
    database, keys = reader
    with database.connect() as connection:
        connection.execute("CREATE TABLE t (n int)")
    for query, error in (
        ("INSERT INTO t VALUES (1) RETURNING n", "the query writes, and a check only reads"),
        ("COMMIT; INSERT INTO t VALUES (1)", "the query is wrong (42601)"),
        ("DROP TABLE t", "the query writes, and a check only reads"),
        ("COMMIT", None),
        ("SELECT set_config('transaction_read_only', 'off', false)", "error 25001"),
        ("SET TRANSACTION READ WRITE", "error 25001"),
    ):
        observation = await probes.attempt(postgres(keys, query))
        if error != "error 25001":
            assert observation.error == error, query
    with database.connect() as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)


async def test_refusals(probes: Probes, reader: "tuple[Database, dict[str, Any]]") -> None:
    _, keys = reader
    for fields, error in (
        ({"password": "env:TOKEN"}, "the database refused the login"),
        ({"user": "nobody"}, "the database refused the login"),
        ({"database": "nowhere"}, "the database does not exist"),
        ({"password": None}, "the database asks for a password, and the check has none"),
        ({"query": "SELECT nothing"}, "the query is wrong (42703)"),
        ({"query": "SELECT 1/0"}, "error 22012"),
        ({"query": "COPY (SELECT 1) TO STDOUT"}, "the query gives no rows"),
        ({"tls": True}, "the database offers no TLS"),
        (
            {"query": "SELECT repeat('x', 2000000)"},
            "not PostgreSQL: a message is too long, or there are too many",
        ),
        ({"query": "SELECT repeat('x', 2000) FROM generate_series(1, 900)"}, "the answer is too long"),
    ):
        observation = await probes.attempt(postgres({**keys, **fields}))
        assert observation.error == error, fields
        assert not observation.ours


async def test_a_slow_query_is_cancelled_by_the_server_too(
    probes: Probes, reader: "tuple[Database, dict[str, Any]]"
) -> None:
    database, keys = reader
    observation = await probes.attempt(postgres(keys, "SELECT pg_sleep(60)", timeout="500ms"))
    assert observation.error in ("answer timed out after 500ms in total", "the query took too long")
    with database.connect() as connection:
        for _ in range(200):
            running = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%'"
                " AND pid <> pg_backend_pid()"
                " AND state = 'active'"
            ).fetchone()
            if running == (0,):
                return
            await asyncio.sleep(0.05)
    raise AssertionError("the query still runs")


async def test_behind_tls(
    probes: Probes, reader: "tuple[Database, dict[str, Any]]", authority: Authority
) -> None:
    database, keys = reader
    context = authority.server("localhost")
    parameters = database.conninfo().parameters
    path = f"{parameters['host']}/.s.PGSQL.{parameters['port']}"

    async def relayed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await begin_tls(reader, writer, context)
        await relay(reader, writer, path)

    async with serving(relayed) as port:
        secured = {**keys, "host": "localhost", "port": port, "tls": True, "ca_file": str(authority.ca_file)}
        observation = await probes.attempt(postgres(secured, "SELECT 42"))
        assert observation.error is None
        assert observation.facts["row"] == {"?column?": 42}
        assert observation.facts["tls_version"] == "TLSv1.3"
        assert observation.timings.tls_us is not None
        unknown = await probes.attempt(postgres({**secured, "ca_file": None}))
        assert unknown.error == "certificate is not signed by a known authority"


# Servers that break the protocol


def message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack(">I", len(body) + 4) + body


LOGGED_IN = message(b"R", b"\0\0\0\0") + message(b"Z", b"I")
BEGUN = message(b"C", b"BEGIN\0") + message(b"C", b"SET\0") + message(b"Z", b"T")


def saying(*answers: bytes) -> Conversation:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.read(65_536)
            writer.write(answer)
        await reader.read(65_536)

    return conversation


NO_ROOM = "not PostgreSQL: a message is too long, or there are too many"


@pytest.mark.parametrize(
    ("answers", "error"),
    [
        ([b"HTTP/1.1 400 Bad Request\r\n\r\n"], NO_ROOM),
        ([message(b"R", struct.pack(">I", 3))], "the database asks for the password in plain text"),
        (
            [message(b"R", struct.pack(">I", 7))],
            "the database asks for a kind of login that is not known here",
        ),
        (
            [message(b"R", struct.pack(">I", 10) + b"SCRAM-SHA-256-PLUS\0\0")],
            "the database asks for a kind of login that is not known here",
        ),
        (
            [message(b"R", struct.pack(">I", 11) + b"r=x")],
            "the database asks for a kind of login that is not known here",
        ),
        ([message(b"E", b"SFATAL\0C28000\0Mgo away\0\0")], "the database refused the login"),
        ([message(b"E", b"SFATAL\0Mpassword is hunter2\0\0")], "not PostgreSQL: an error without a code"),
        ([b"N\0\0\0\x03"], NO_ROOM),
        ([b"R\x7f\xff\xff\xff"], NO_ROOM),
        ([message(b"N", b"") * 10_001], NO_ROOM),
        ([LOGGED_IN, message(b"Z", b"I")], "the database began no transaction"),
        ([LOGGED_IN, BEGUN, message(b"D", b"\0\x01")], "not PostgreSQL: a row does not fit its columns"),
        ([LOGGED_IN, BEGUN, message(b"T", b"\xff\xff")], "not PostgreSQL: a message is cut short"),
        ([LOGGED_IN, BEGUN, message(b"T", b"\0\x01name")], "not PostgreSQL: a message is cut short"),
        ([LOGGED_IN, BEGUN, message(b"H", b"")], "the query gives no rows"),
    ],
)
async def test_what_is_no_database(probes: Probes, answers: list[bytes], error: str) -> None:
    SECRETS["DATABASE"] = "s3cret"
    keys = {"type": "postgres", "host": "127.0.0.1", "tls": False, "user": "u", "database": "d"}
    async with serving(saying(*answers)) as port:
        observation = await probes.attempt(postgres({**keys, "port": port, "password": "env:DATABASE"}))
    assert observation.error == error


async def test_a_server_without_the_password_is_found_out(probes: Probes) -> None:
    """It says yes to any proof, as an impostor would."""
    heard: list[Observation] = []

    async def impostor(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65_536)
        writer.write(message(b"R", struct.pack(">I", 10) + b"SCRAM-SHA-256\0\0"))
        first = (await reader.read(65_536)).rpartition(b"r=")[2]
        salt = base64.b64encode(b"salt")
        writer.write(message(b"R", struct.pack(">I", 11) + b"r=" + first + b"more,s=" + salt + b",i=4096"))
        await reader.read(65_536)
        final = struct.pack(">I", 12) + b"v=" + base64.b64encode(bytes(32))
        writer.write(message(b"R", final) + LOGGED_IN)
        await reader.read(65_536)

    SECRETS["DATABASE"] = "s3cret"
    keys = {"type": "postgres", "host": "127.0.0.1", "tls": False, "user": "u", "database": "d"}
    async with serving(impostor) as port:
        heard.append(await probes.attempt(postgres({**keys, "port": port, "password": "env:DATABASE"})))
    assert heard[0].error == "the server does not know the password itself"


def test_scram_as_in_the_rfc() -> None:
    """RFC 7677, section 3, with a client that leaves the name to the startup message as PostgreSQL's do."""
    scram = Scram("pencil", "rOprNGfwEbeRWgbNEkqO")
    challenge = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    answer = scram.answer(challenge)
    salted = hashlib.pbkdf2_hmac("sha256", b"pencil", base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096)
    said = b",".join((scram.first()[3:], challenge, answer.partition(b",p=")[0]))
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    proof = base64.b64decode(answer.partition(b",p=")[2])
    signature = hmac.digest(stored, said, "sha256")
    client_key = bytes(one ^ other for one, other in zip(proof, signature, strict=True))
    assert hashlib.sha256(client_key).digest() == stored
    server = base64.b64encode(hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), said, "sha256"))
    assert scram.confirms(b"v=" + server)
    assert not scram.confirms(b"v=" + server[:-1])


@pytest.mark.parametrize(
    "challenge",
    [
        b"",
        b"r=other,s=c2FsdA==,i=4096",
        b"r=nonce,s=c2FsdA==,i=4096",  # nothing of the server's own
        b"r=nonceX,s=c2FsdA=,i=4096",
        b"r=nonceX,s=c2FsdA==,i=0",
        b"r=nonceX,s=c2FsdA==,i=9999999",
        b"m=x,r=nonceX,s=c2FsdA==,i=4096",
    ],
)
def test_a_challenge_that_is_none_or_too_hard(challenge: bytes) -> None:
    with pytest.raises(Exception, match=r"not SCRAM|too many rounds"):
        Scram("pencil", "nonce").answer(challenge)


def test_md5_as_libpq_has_it() -> None:
    inner = hashlib.md5(b"secretuser").hexdigest().encode()
    assert md5_answer("user", "secret", b"salt") == b"md5" + hashlib.md5(inner + b"salt").hexdigest().encode()

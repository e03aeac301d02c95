"""The ledger's process as it runs: killed, doubled, flooded, told to end."""

import gzip
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psycopg
import pytest
import zstandard
from tests.installation import eventually
from tests.ledger_process import LedgerProcess, ledger_process, posted, source_token

if TYPE_CHECKING:
    from conftest import Database


@pytest.fixture
def served(migrated_database: "Database", tmp_path: Path) -> Iterator[LedgerProcess]:
    with ledger_process(tmp_path / "one", migrated_database.conninfo().dsn) as process:
        yield process


@pytest.fixture
def token(migrated_database: "Database") -> str:
    with migrated_database.connect() as connection:
        return source_token(connection)


def size_of(database: "Database", tenant: str = "acme") -> int:
    with database.connect() as connection:
        row = connection.execute(
            "SELECT coalesce(max(to_size), 0) FROM ledger.growth"
            " WHERE log_id = (SELECT id FROM ledger.log WHERE tenant = %s)",
            [tenant],
        ).fetchone()
    assert row is not None
    return int(row[0])


def test_records_are_taken_in_however_they_come(
    served: LedgerProcess, token: str, migrated_database: "Database"
) -> None:
    answer = served.post(posted(range(1, 10_001)), token)
    assert (answer.status_code, answer.json()["taken"]) == (200, [{"first": 1, "last": 10_000, "leaf": 0}])
    assert answer.json()["reach"] == "one region"  # no second region is declared
    packed = {
        "gzip": gzip.compress(posted(range(10_001, 20_001))),
        "zstd": zstandard.compress(posted(range(20_001, 30_001))),
    }
    for coding, body in packed.items():
        told = served.post(body, token, content_encoding=coding).json()
        assert told["refused"] == []
    assert served.post(posted([30_001]), token).json()["size"] == 30_001
    again = served.post(packed["zstd"], token, content_encoding="zstd").json()
    assert (again["taken"], again["repeated"][0]["leaf"]) == ([], 20_000)
    assert size_of(migrated_database) == 30_001
    metrics = httpx.get(f"{served.url}/metrics").text
    assert 'holdfast_ledger_records_total{outcome="taken"} 30001\n' in metrics
    served.stop()


def test_what_nobody_can_take_in_is_refused_and_the_process_goes_on(
    served: LedgerProcess, token: str, migrated_database: "Database"
) -> None:
    assert _code(served, b" " * 100_000_000, token) == 413
    bombs = {
        "gzip": gzip.compress(bytes(100_000_000)),
        "zstd": zstandard.compress(bytes(100_000_000)),
    }
    for coding, bomb in bombs.items():
        assert served.post(bomb, token, content_encoding=coding).status_code == 413
    deep = b"[" * 1_000_000 + b"]" * 1_000_000
    answer = served.post(posted([1]) + b"\n" + deep + b"\n" + posted([2]), token)
    assert [each["line"] for each in answer.json()["refused"]] == [2]
    assert served.post(deep, token, kind="application/json").status_code == 422
    answer = served.post(posted([3]).replace(b"print", b"\xff\xfe") + b"\n" + posted([3]), token)
    assert [each["line"] for each in answer.json()["refused"]] == [1]
    assert served.post(posted([4]), token[:-1] + ("A" if token[-1] != "A" else "B")).status_code == 401
    assert served.post(posted([4], source="mfp"), token).status_code == 422
    assert size_of(migrated_database) == 3


def _code(served: LedgerProcess, body: bytes, token: str) -> int:
    try:
        return served.post(body, token).status_code
    except httpx.TransportError:
        return 413  # it hung up while we were still sending


def test_a_hundred_megabytes_without_a_length(served: LedgerProcess, token: str) -> None:
    """Sent in chunks, nobody knows how much it will be: it is ended once it is too much."""

    def endless() -> Iterator[bytes]:
        for _ in range(1600):
            yield b" " * 65_536

    headers = {"authorization": f"Bearer {token}", "content-type": "application/x-ndjson"}
    try:
        code = httpx.post(f"{served.url}/v1/records", content=endless(), headers=headers).status_code
    except httpx.TransportError:
        code = 413  # it hung up while we were still sending
    assert code == 413
    assert served.post(posted([1]), token).json()["size"] == 1


def test_killed_between_commit_and_answer(migrated_database: "Database", tmp_path: Path, token: str) -> None:
    """The commit waits for a lock that we hold, and the process is killed once it is through."""
    with ledger_process(tmp_path / "one", migrated_database.conninfo().dsn) as served:
        assert served.post(posted(range(100)), token).status_code == 200
        for n in range(1, 4):
            body = posted(range(100 * n, 100 * n + 100))
            with ThreadPoolExecutor(1) as threads, migrated_database.connect() as watching:
                # Whoever reads in the meantime sees the growth at once when it is there.
                sending = threads.submit(_post_or_none, served, body, token)
                eventually(lambda: _size(watching) > 100 * n, "it is committed")  # noqa: B023
                served.kill()
                first = sending.result(60)
            served.start()
            again = served.post(body, token).json()
            assert [again["taken"], again["conflicts"]] == [[], []]
            assert again["repeated"] == [{"first": 1, "last": 100, "leaf": 100 * n}]
            assert first is None or first["taken"][0]["leaf"] == 100 * n
        assert size_of(migrated_database) == 400


def _post_or_none(served: LedgerProcess, body: bytes, token: str) -> dict[str, list[dict[str, int]]] | None:
    try:
        answer = served.post(body, token)
    except httpx.TransportError:
        return None
    return answer.json() if answer.status_code == 200 else None  # type: ignore[no-any-return]


def _size(connection: psycopg.Connection) -> int:
    row = connection.execute("SELECT coalesce(max(to_size), 0) FROM ledger.growth").fetchone()
    assert row is not None
    return int(row[0])


def test_two_processes_at_once_never_fork_a_log(
    migrated_database: "Database", tmp_path: Path, served: LedgerProcess
) -> None:
    dsn = migrated_database.conninfo().dsn
    with migrated_database.connect() as connection:
        tokens = {name: source_token(connection, source=name) for name in ("a", "b", "c", "d")}
    with ledger_process(tmp_path / "two", dsn) as other:
        both = [served, other]

        def send(name: str) -> list[int]:
            codes = list[int]()
            for n in range(12):
                body = posted(range(n * 50, n * 50 + 50), source=name)
                for attempt in range(20):
                    answer = both[(n + attempt + ord(name)) % 2].post(body, tokens[name])
                    codes.append(answer.status_code)
                    if answer.status_code == 200:
                        break
                    time.sleep(0.05)
            return codes

        with ThreadPoolExecutor(4) as threads:
            codes = [code for found in threads.map(send, tokens) for code in found]
    assert set(codes) == {200}, "each has its turn"
    assert size_of(migrated_database) == 4 * 12 * 50
    with migrated_database.connect() as connection:
        rows = connection.execute(
            "SELECT source, sum(last - first + 1) FROM ledger.run"
            " WHERE log_id = (SELECT id FROM ledger.log WHERE tenant = 'acme') GROUP BY 1"
        ).fetchall()
        assert dict(rows) == dict.fromkeys(tokens, 600)
        assert connection.execute("SELECT count(*) FROM ledger.conflict").fetchone() == (0,)


def test_a_killed_worker_is_replaced(served: LedgerProcess, token: str) -> None:
    body = gzip.compress(posted(range(1000)))
    assert served.post(body, token, content_encoding="gzip").status_code == 200
    for seq in (1000, 2000):
        for pid in workers_of(served):
            os.kill(pid, signal.SIGKILL)
        fresh = gzip.compress(posted(range(seq, seq + 1000)))
        answer = served.post(fresh, token, content_encoding="gzip")
        assert (answer.status_code, answer.json()["size"]) == (200, seq + 1000)


def test_workers_end_with_the_process(served: LedgerProcess, token: str) -> None:
    served.post(gzip.compress(posted(range(1000))), token, content_encoding="gzip")
    workers = workers_of(served)
    assert workers
    served.kill()
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), "the workers ended")


def workers_of(served: LedgerProcess) -> list[int]:
    """The processes that prepare."""
    found = served.installation.processes()
    return [pid for pid, command in found.items() if "multiprocessing" in command and "spawn_main" in command]


def test_a_slow_sender_holds_up_nobody(served: LedgerProcess, token: str) -> None:
    host, port = served.url.removeprefix("http://").split(":")
    head = (
        f"POST /v1/records HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
        "Content-Type: application/x-ndjson\r\nContent-Length: 100000\r\n\r\n"
    )
    slow = [socket.create_connection((host, int(port))) for _ in range(50)]
    for each in slow:
        each.sendall(head.encode() + b" ")
    assert served.post(posted([1]), token).status_code == 200
    for each in slow:
        each.close()
    assert served.post(posted([2]), token).status_code == 200


def test_it_ends_in_order_while_it_is_asked(
    served: LedgerProcess, token: str, migrated_database: "Database"
) -> None:
    """What was answered with 200 is there; what was not may be posted again to whoever comes next."""
    answered, ending = list[int](), threading.Event()

    def send() -> None:
        seq = 0
        while not ending.is_set():
            try:
                answer = served.post(posted(range(seq, seq + 20)), token)
            except httpx.TransportError:
                return
            if answer.status_code == 200:
                answered.append(answer.json()["size"])
            seq += 20

    with ThreadPoolExecutor(1) as threads:
        sending = threads.submit(send)
        eventually(lambda: len(answered) > 5, "it takes records in")
        served.stop()
        ending.set()
        sending.result(60)
    assert size_of(migrated_database) >= max(answered)


def test_without_a_key_it_tells_and_waits(migrated_database: "Database", tmp_path: Path) -> None:
    dsn = migrated_database.conninfo().dsn
    with ledger_process(tmp_path / "one", dsn, wait=False) as process:
        environment = process.installation.environment
        key = environment.pop("LEDGER_KEY")
        process.started = process.installation.start("serve", "ledger")
        eventually(
            lambda: "LEDGER_KEY" in _said(process) or process.started.process.poll() is not None,
            "it says what is missing",
        )
        assert process.started.process.poll() is None, _said(process)
        process.stop()
        environment["LEDGER_KEY"] = "nonsense"
        process.started = process.installation.start("serve", "ledger")
        eventually(lambda: "no private key" in _said(process), "it says what is wrong")
        process.stop()
        environment["LEDGER_KEY"] = key
        process.start()
        assert key.strip().rpartition("+")[2] not in _said(process)


def _said(process: LedgerProcess) -> str:
    assert process.started is not None
    said = process.started.said
    return said.out + said.err


def test_a_changed_secret_is_in_force_after_a_sighup(
    migrated_database: "Database", tmp_path: Path, token: str
) -> None:
    dsn = migrated_database.conninfo().dsn
    with ledger_process(tmp_path / "one", dsn, wait=False) as process:
        installation = process.installation
        key = installation.folder / "ledger.key"
        key.write_text("nonsense", encoding="utf-8")
        key.chmod(0o600)
        estate = installation.config.read_text(encoding="utf-8")
        installation.config.write_text(estate.replace("env:LEDGER_KEY", "file:ledger.key"), encoding="utf-8")
        process.started = installation.start("serve", "ledger")
        eventually(lambda: "no private key" in _said(process), "it says what is wrong")
        key.write_text(installation.environment["LEDGER_KEY"], encoding="utf-8")
        process.started.process.send_signal(signal.SIGHUP)
        process.until_ready()
        assert process.post(posted([1]), token).status_code == 200
        # And while it serves: it goes on with the same key, read anew.
        process.started.process.send_signal(signal.SIGHUP)
        for seq in (2, 3):
            eventually(lambda: _taken(process, seq, token), "it serves again")  # noqa: B023
        process.stop()


def _taken(process: LedgerProcess, seq: int, token: str) -> bool:
    try:
        return process.post(posted([seq]), token).status_code == 200
    except httpx.TransportError:
        return False


def test_who_declares_no_ledger_is_told_so(migrated_database: "Database", tmp_path: Path) -> None:
    with ledger_process(tmp_path / "one", migrated_database.conninfo().dsn, wait=False) as process:
        config = process.installation.config
        text = config.read_text(encoding="utf-8")
        config.write_text(text.partition("ledger:\n  name")[0], encoding="utf-8")
        said = process.installation.run("serve", "ledger", code=1)
        assert "the estate declares no ledger" in said.err

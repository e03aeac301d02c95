"""Completeness with a real process: what sources say, what operators are told, and what commands show."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import httpx
import pytest
from click.testing import Result
from tests.installation import eventually
from tests.ledger_process import LedgerProcess, ledger_process, posted, source_token
from typer.testing import CliRunner

from holdfast.bootstrap.main import _commands
from holdfast.interfaces.cli.app import build

if TYPE_CHECKING:
    from conftest import Database


class Told(BaseHTTPRequestHandler):
    """An alert channel: keeps the titles of what it is sent."""

    titles: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.titles.append(json.loads(body)["title"])
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        del format, args


@pytest.fixture
def channel() -> Iterator[str]:
    Told.titles.clear()
    with HTTPServer(("127.0.0.1", 0), Told) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"json://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture
def served(migrated_database: "Database", tmp_path: Path, channel: str) -> Iterator[LedgerProcess]:
    usual = {"unusual": {"gap_after": "1s"}}
    with ledger_process(tmp_path / "one", migrated_database.conninfo().dsn, usual, wait=False) as process:
        with process.installation.config.open("a") as estate:
            estate.write("alerts: {channels: {ops: {url: env:OPS}}}\n")
        process.installation.environment["OPS"] = channel
        yield process.start()


@pytest.fixture
def token(migrated_database: "Database") -> str:
    with migrated_database.connect() as connection:
        return source_token(connection)


def tell(served: LedgerProcess, path: str, token: str, body: object) -> Any:
    headers = {"authorization": f"Bearer {token}"}
    answer = httpx.post(served.url + path, json=body, headers=headers, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()


@dataclass
class Typed:
    """Commands, as somebody types them beside the process; in this one, which is much quicker."""

    served: LedgerProcess

    def __call__(self, *arguments: str, code: int | None = 0) -> Result:
        here = self.served.installation
        where = ("--config", str(here.config), "--data-dir", str(here.data_dir))
        done = CliRunner().invoke(build(_commands), [*arguments, *where], env=here.environment)
        assert code is None or done.exit_code == code, (arguments, done.output, done.exception)
        return done

    def told(self, *arguments: str, code: int | None = 0) -> Any:
        return json.loads(self(*arguments, "--json", code=code).stdout)


def events(database: "Database") -> list[tuple[str, str]]:
    with database.connect() as connection:
        return connection.execute(
            "SELECT event, facts ->> 'subject' FROM holdfast.journal WHERE event LIKE 'ledger.%' ORDER BY id"
        ).fetchall()


def test_what_is_missing_is_told_until_it_came_or_was_settled(
    served: LedgerProcess, token: str, migrated_database: "Database"
) -> None:
    command = Typed(served)
    assert served.post(posted([1, 2, 5]), token).status_code == 200
    assert served.post(posted([2], job="another"), token).json()["conflicts"]

    def gaps() -> list[tuple[int, int]]:
        told = tell(served, "/v1/claims", token, {"claims": [{"epoch": 1, "highest": 8}]})
        return [(each["first"], each["last"]) for each in told["missing"]]

    eventually(lambda: gaps() == [(3, 4), (6, 8)], "the source is told what has not come")
    begun = [("ledger.gap_overdue", "spooler"), ("ledger.conflict_found", "spooler")]
    eventually(lambda: set(begun) <= set(events(migrated_database)), "both are in the journal")

    found = command.told("ledger", "gaps", code=1)
    assert [(each["first"], each["last"], each["is_tail"], each["is_overdue"]) for each in found] == [
        (3, 4, False, True),
        (6, 8, True, True),
    ]
    assert "claimed, overdue" in command("ledger", "gaps", "--tenant", "acme", code=1).stdout
    [conflict] = command.told("ledger", "conflicts", code=1)
    assert (conflict["source"], conflict["seq"], conflict["settled"]) == ("spooler", 2, False)
    [status] = command.told("ledger", "status", code=1)
    assert (status["size"], status["sources"], status["missing"], status["conflicts"]) == (4, 1, 5, 1)
    assert {each["kind"] for each in status["concerns"]} == {"gap_overdue", "conflict_found"}
    text = command("ledger", "status", code=1).stdout
    assert "5 numbers in 2 gaps, 2 overdue" in text
    assert "! gap overdue: spooler" in text

    assert served.post(posted([3, 4, 6]), token).status_code == 200
    eventually(lambda: gaps() == [(7, 8)], "what came late is no gap any more")
    about = ("--tenant", "acme", "--source", "spooler", "--reason", "its disk broke")
    said = command("ledger", "settle", *about, "--epoch", "1", "--numbers", "1-7").stdout
    assert said == "settled: spooler, epoch 1, numbers 7 to 7\n"  # nothing is settled before it is missing
    assert (
        "is missing" in command("ledger", "settle", *about, "--epoch", "1", "--numbers", "20", code=1).stderr
    )
    assert "no open conflict" in command("ledger", "settle", *about, "--leaf", "0", code=1).stderr
    command("ledger", "settle", *about, "--epoch", "1", "--numbers", "8")
    command("ledger", "settle", *about, "--leaf", str(conflict["leaf"]))
    assert "Nothing is missing." in command("ledger", "gaps").stdout
    assert command("ledger", "gaps", "--settled").stdout.count("settled: its disk broke") == 2
    assert "There is no conflict." in command("ledger", "conflicts").stdout
    over = [("ledger.gap_closed", "spooler"), ("ledger.conflict_settled", "spooler")]
    eventually(lambda: set(over) <= set(events(migrated_database)), "both are over")
    assert [each for each, _ in events(migrated_database)].count("ledger.gap_overdue") == 1
    about_gaps = "ledger of acme: spooler: numbers have not come"
    about_conflicts = "ledger of acme: spooler: records came again with other content"
    told = [f"[TICKET] {about_gaps}", f"[PAGE] {about_conflicts}", f"[OVER] {about_gaps}"]
    eventually(lambda: len(Told.titles) == 4, "operators are told")
    assert sorted(Told.titles) == sorted([*told, f"[OVER] {about_conflicts}"])
    assert "none" in command("ledger", "status").stdout
    lines = httpx.get(f"{served.url}/metrics").text.splitlines()
    assert any(each.startswith("holdfast_ledger_missing_numbers ") for each in lines)
    served.stop()


def test_devices_meters_are_compared(served: LedgerProcess, token: str) -> None:
    command = Typed(served)
    began = datetime.now(UTC) - timedelta(hours=2)
    at = [(began + timedelta(minutes=n)).isoformat() for n in (0, 10, 20)]
    readings = [{"device": "mfp-17", "read_at": at[n], "counters": {"sheets": 100 + n * 4}} for n in (0, 2)]
    told = tell(served, "/v1/meters", token, {"readings": readings})
    assert told == {"taken": 2, "repeated": 0, "conflicts": []}
    one = posted([1], device="mfp-17", occurred_at=at[1], sheets={"A4": 5})
    assert served.post(one, token).status_code == 200

    def meters() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = command.told("ledger", "meters", code=None)
        return found

    eventually(lambda: [each["recorded"] for each in meters()] == [5], "the entry is compared")
    [stretch] = meters()
    assert (stretch["counted"], stretch["difference"], stretch["verdict"]) == (8, 3, "differs")
    assert "+3" in command("ledger", "meters", "--device", "mfp-17", code=1).stdout
    assert served.post(posted([2], device="mfp-17", occurred_at=at[1], sheets={"A4": 3}), token).is_success
    eventually(
        lambda: [each["verdict"] for each in meters()] == ["agrees"], "the late entry is compared, too"
    )
    assert command("ledger", "meters", "--differing").stdout == "There is no difference.\n"

    by_hand = ("ledger", "reading", "--tenant", "acme", "--device", "mfp-17", "--at", at[0], "--set")
    assert command(*by_hand, "sheets=90").stdout == "sheets: taken\n"
    assert command(*by_hand, "sheets=91", code=1).stdout == "sheets: conflict\n"
    assert "no tenant 'nobody'" in command("ledger", "meters", "--tenant", "nobody", code=1).stderr
    served.stop()

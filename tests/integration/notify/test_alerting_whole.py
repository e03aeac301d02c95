"""A whole Holdfast: something breaks, and a real message arrives. And the commands, as they are typed."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from installation import Installation, eventually, free_port, installed
from targets import Target, answering

ESTATE = """\
version: 1
site: {{listen: '127.0.0.1:{port}'}}
regions: {{here: {{name: Here}}}}
clusters:
  main:
    name: Main
    region: here
    components:
      web:
        name: Web
        checks:
          page: {{url: '{target}', every: 1s, timeout: 400ms}}
customers: {{acme: {{name: ACME}}}}
agreements:
  gold: {{customer: acme, name: Gold, components: [main/web], objective: 99.9, window: 30d}}
alerts:
  channels:
    ops: {{url: env:OPS_URL}}
    lost: {{url: env:NOT_SET}}
  routes:
    - {{channels: [ops], group_wait: 0s}}
  resolve_after: 0s
"""


class Pager:
    """Keeps the JSON that is posted to it. Answers 401 without the right password."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        pager = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if "Authorization" in self.headers:
                    pager.received.append(json.loads(body))
                self.send_response(200 if "Authorization" in self.headers else 401)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]

    @property
    def titles(self) -> list[str]:
        return [each["title"] for each in self.received]


@pytest.fixture
def pager() -> Iterator[Pager]:
    pager = Pager()
    thread = threading.Thread(target=pager.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield pager
    pager.server.shutdown()
    pager.server.server_close()
    thread.join()


@pytest.fixture
def target() -> Iterator[Target]:
    with answering() as target:
        yield target


@pytest.fixture
def ready(tmp_path: Path, target: Target, pager: Pager) -> Iterator[Installation]:
    text = ESTATE.format(port=free_port(), target=target.url)
    url = f"json://user:pass-secret@127.0.0.1:{pager.port}/token-secret"
    with installed(tmp_path / "ready", text, OPS_URL=url) as ready:
        yield ready


def test_an_outage_reaches_the_pager_and_so_does_its_end(
    ready: Installation, target: Target, pager: Pager
) -> None:
    ready.up()
    eventually(lambda: target.asked > 2, "the check runs")
    assert ready.run("alert", "list").out.strip() == "no alert is open"
    target.well = False
    eventually(lambda: any(title.startswith("[PAGE] main/web is down") for title in pager.titles), "a page")
    listed = ready.run("alert", "list", "--json").json
    assert "down:main/web" in [alert["key"] for alert in listed["alerts"]]
    made = ready.run("alert", "silence", "burn:*", "--for", "2h", "--reason", "we know", "--json").json
    assert [each["id"] for each in ready.run("alert", "silences", "--json").json] == [made["id"]]
    assert "we know" in ready.run("alert", "list").out
    assert ready.run("alert", "expire", str(made["id"])).out.strip() == f"expired {made['id']}"
    assert "no silence" in ready.run("alert", "expire", str(made["id"]), code=1).err
    wrong = ready.run("alert", "silence", "main/wep", "--for", "2h", "--reason", "x", code=1)
    assert "did you mean `main/web`?" in wrong.err
    nothing = ready.run("alert", "silence", "*", "--for", "0s", "--reason", "x", code=2)
    assert "longer than nothing" in nothing.err
    target.well = True
    eventually(lambda: any("RESOLVED" in each["message"] for each in pager.received), "the end is told")
    keys = [each["message"].rpartition("notice ")[2] for each in pager.received]
    assert len(keys) == len(set(keys))
    ended = ready.run("alert", "list", "--all", "--json").json["alerts"]
    assert all(alert["resolved_at"] for alert in ended if alert["key"] == "down:main/web")
    events = [row[0] for row in ready.query("SELECT event FROM holdfast.journal")]
    assert {"alert.opened", "alert.delivered", "alert.resolved"} <= set(events)
    # A secret of a channel is nowhere but in the environment.
    for role in ("controller", "site"):
        assert "secret" not in ready.log(role)
    tables = ("alerting.alert", "alerting.outbox", "alerting.told", "holdfast.journal", "estate.revision")
    assert not any("-secret" in str(ready.query(f"SELECT * FROM {table}")) for table in tables)


def test_a_test_really_sends_and_says_what_each_channel_answered(ready: Installation, pager: Pager) -> None:
    said = ready.run("alert", "test", "ops")
    assert "ok" in said.out
    assert pager.titles == ["[TEST] Holdfast reaches this channel"]
    both = ready.run("alert", "test", "--json", code=1).json
    assert both["ops"]["ok"]
    assert "env:NOT_SET" in both["lost"]["detail"]
    unknown = ready.run("alert", "test", "opps", code=1)
    assert "there is no channel 'opps'" in unknown.err
    assert "ops, lost" in unknown.err
    ready.environment["OPS_URL"] = f"json://127.0.0.1:{pager.port}/token-secret"
    refused = ready.run("alert", "test", "ops", code=1)
    assert "error=401" in refused.out
    assert "secret" not in refused.out + refused.err


def test_a_check_tells_of_channels_that_cannot_work(ready: Installation) -> None:
    found = ready.run("check", "--json", code=1).json["findings"]
    channels = {each["subject"]: each for each in found if each["subject"].startswith("alerts/")}
    assert channels["alerts/channels/ops"]["ok"]
    assert channels["alerts/channels/ops"]["text"].startswith("JSON")
    assert not channels["alerts/channels/lost"]["ok"]
    ready.environment["OPS_URL"] = "nosuch://token-secret@host"
    said = ready.run("check", code=1)
    assert "not a usable Apprise URL" in said.out
    assert "secret" not in said.out + said.err


def test_without_channels_a_test_says_where_to_declare_one(ready: Installation) -> None:
    text = ready.config.read_text()
    ready.config.write_text(text[: text.index("alerts:")])
    said = ready.run("alert", "test", code=1)
    assert "alerts.channels" in said.err


def test_without_a_running_holdfast_a_silence_is_refused(ready: Installation) -> None:
    said = ready.run("alert", "silence", "main/web", "--for", "2h", "--reason", "x", code=1)
    assert "holdfast up" in said.err

"""An incident declared in the console as a browser does it: until page, feed and outbox have it.

A whole `holdfast up` with 10,000 subscribers by mail. The moment counts at which the button is pressed; the
page, the feed and the outbox are then looked at every 20 ms, each on its own.
"""

import asyncio
import contextlib
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import unescape
from pathlib import Path

import httpx
import psycopg

from bench.mailing import SUBSCRIBERS, sink, subscribe
from bench.subjects import FOLDER, Options
from bench.table import Measurement, at_most
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.server.embedded import EmbeddedPostgres
from holdfast.bootstrap.estates import read_estate
from holdfast.bootstrap.vault import vault_for

PASSWORD = "four words that fit"
LOOK_EVERY_S = 0.02
READY_WITHIN_S = 120.0
SEEN_WITHIN_S = 60.0
PROGRAM = (sys.executable, "-m", "holdfast.bootstrap.main")
ESTATE = """\
version: 1
site: {{listen: '127.0.0.1:{site}', url: 'http://127.0.0.1:{site}'}}
console: {{listen: '127.0.0.1:{console}', second_factor: optional}}
regions: {{here: {{name: Here}}}}
clusters:
  eu:
    name: Europe
    region: here
    components: {{api: {{name: API, checks: {{port: {{type: tcp, host: 127.0.0.1, port: {mail}}}}}}}}}
mail: {{host: 127.0.0.1, port: {mail}, security: none, sender: status@example.org}}
"""


@dataclass(frozen=True, slots=True)
class Declared:
    """Seconds from the button to each place."""

    page_s: float
    feed_s: float
    outbox_s: float


def measure(options: Options) -> Sequence[Measurement]:
    count = 1_000 if options.quick else SUBSCRIBERS
    with _holdfast(count) as scene:
        rounds = [scene.declared(number) for number in range(options.runs_beside_peers)]
    name = f"declared in the console, {count:,} subscribers"
    return [
        Measurement(f"{name}: on the page", "s", [each.page_s for each in rounds], at_most(2.0)),
        Measurement("  in the feed", "s", [each.feed_s for each in rounds], at_most(2.0)),
        Measurement("  all in the outbox", "s", [each.outbox_s for each in rounds], at_most(2.0)),
    ]


@dataclass(frozen=True, slots=True)
class _Scene:
    """A running Holdfast, somebody who is logged in, and the owner's way to the outbox."""

    site: str
    console: str
    browser: httpx.Client
    owner: psycopg.Connection
    count: int

    def declared(self, number: int) -> Declared:
        """Declare one more, and watch for it everywhere."""
        title = f"The API fails, {number}"
        fields = self._form(title)
        seen: dict[str, float] = {}
        looks: dict[str, Callable[[], bool]] = {
            "page": lambda: title in httpx.get(f"{self.site}/en/").text,
            "feed": lambda: title in httpx.get(f"{self.site}/en/feed.atom").text,
            "outbox": lambda: self._queued(fields["key"]) == self.count,
        }
        began = time.monotonic()
        watching = [
            threading.Thread(target=_watch, args=(look, seen, what, began)) for what, look in looks.items()
        ]
        for each in watching:
            each.start()
        answer = self.browser.post(f"{self.console}/incidents/new", data=fields)
        for each in watching:
            each.join()
        if answer.status_code != 303 or len(seen) != len(looks):
            raise SystemExit(f"the incident was not declared: {answer.status_code}, seen {sorted(seen)}")
        return Declared(seen["page"], seen["feed"], seen["outbox"])

    def _form(self, title: str) -> dict[str, str]:
        page = self.browser.get(f"{self.console}/incidents/new").text
        hidden = {name: _hidden(page, name) for name in ("csrf", "key")}
        component = re.search(r'name="component" value="(\d+)"', page)
        if component is None:
            raise SystemExit("the form offers no component")
        return {
            **hidden,
            "title": title,
            "body": "Requests fail. We **look into it**.",
            "component": component[1],
            "state": "major_outage",
            "impact": "major",
            "phase": "investigating",
            "began": "",
            "do": "declare",
        }

    def _queued(self, incident_id: str) -> int:
        row = self.owner.execute(
            "SELECT count(*) FROM communication.delivery AS d "
            "JOIN communication.announcement AS a ON a.id = d.announcement_id WHERE a.subject = %s",
            [incident_id],
        ).fetchone()
        return 0 if row is None else int(row[0])


def _watch(look: Callable[[], bool], seen: dict[str, float], what: str, began: float) -> None:
    while time.monotonic() - began < SEEN_WITHIN_S:
        if look():
            seen[what] = time.monotonic() - began
            return
        time.sleep(LOOK_EVERY_S)


@contextlib.contextmanager
def _holdfast(count: int) -> Iterator[_Scene]:
    FOLDER.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=FOLDER, prefix="declaring-"))
    data_dir, config = folder / "data", folder / "holdfast.yaml"
    site, console = _free_port(), _free_port()
    try:
        with sink(folder) as (mail, _):
            config.write_text(ESTATE.format(site=site, console=console, mail=mail), encoding="utf-8")
            place = ("--config", str(config), "--data-dir", str(data_dir))
            with (
                _up(place, folder / "up.log", f"http://127.0.0.1:{console}/health/ready"),
                httpx.Client(headers={"origin": f"http://127.0.0.1:{console}"}) as browser,
            ):
                server = EmbeddedPostgres(data_dir / "postgres")
                asyncio.run(server.start())  # adopts the one that runs
                subscribe(server, vault_for(read_estate(config), config, data_dir), count)
                _log_in(browser, f"http://127.0.0.1:{console}", place)
                with psycopg.connect(server.conninfo(Role.OWNER).dsn, autocommit=True) as owner:
                    yield _Scene(
                        f"http://127.0.0.1:{site}", f"http://127.0.0.1:{console}", browser, owner, count
                    )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _up(place: Sequence[str], log: Path, ready: str) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen([*PROGRAM, "up", *place], stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + READY_WITHIN_S
        while not _answers(ready):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"holdfast did not come up:\n{log.read_text()[-2000:]}")
            time.sleep(0.2)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _answers(url: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(url).status_code == 200
    return False


def _log_in(browser: httpx.Client, console: str, place: Sequence[str]) -> None:
    """From the invitation to the session, as a person does it."""
    added = subprocess.run(
        [*PROGRAM, "account", "add", "anna", "--role", "communicator", "--json", *place],
        capture_output=True,
        text=True,
        check=True,
    )
    invitation = json.loads(added.stdout)["invitation"]
    page = browser.get(invitation).text
    both = {"password": PASSWORD, "password_again": PASSWORD, "csrf": _hidden(page, "csrf")}
    browser.post(invitation, data=both)
    page = browser.get(f"{console}/login").text
    answer = browser.post(
        f"{console}/login",
        data={"name": "anna", "password": PASSWORD, "next": "/", "csrf": _hidden(page, "csrf")},
    )
    if answer.status_code != 303:
        raise SystemExit(f"nobody could log in: {answer.status_code}")


def _hidden(page: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    if found is None:
        raise SystemExit(f"a page of the console has no field {name}")
    return unescape(found[1])


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port

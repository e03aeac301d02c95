"""The two-region lab's plans: addresses, settings files, fences and orders, before anything runs."""

import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from holdfast.availability.conditions import validate
from holdfast.estate.loader import load_estate
from holdfast.lab.regions import layout as at
from holdfast.lab.regions import settings
from holdfast.lab.regions.clocked import _wrong_by
from holdfast.lab.regions.data import PAGE_BYTES, flip
from holdfast.lab.regions.fence import StaleFenceError, newest, passing
from holdfast.lab.regions.http import Answer, Login, fence_of, serve
from holdfast.lab.regions.lab import RegionsLab
from holdfast.lab.regions.layout import REGIONS, SITES, Layout
from holdfast.lab.topology import DEFAULT_BASE_PORT

SECRETS = dict.fromkeys(("raft", "rest", "superuser", "replication", "rewinder"), "secret")


def layout(tmp_path: Path, *, namespaces: bool = False) -> Layout:
    return Layout(tmp_path, 18_400, namespaces)


def test_no_two_things_listen_on_one_address_and_port(tmp_path: Path) -> None:
    everything = layout(tmp_path).all_ports()
    assert len(set(everything)) == len(everything)
    assert all(host.startswith("127.") for host, _ in everything)


def test_from_outside_a_lab_with_links_has_the_same_addresses(tmp_path: Path) -> None:
    plain, linked = layout(tmp_path), layout(tmp_path, namespaces=True)
    assert plain.all_ports() == linked.all_ports()
    assert all(plain.inner(site) == plain.outer(site) for site in SITES)
    assert all(linked.inner(site) != linked.outer(site) for site in SITES)


@pytest.mark.parametrize("namespaces", [False, True])
def test_patroni_can_outvote_no_one_alone_and_rewinds_nothing(tmp_path: Path, namespaces: bool) -> None:
    where = layout(tmp_path, namespaces=namespaces)
    for region in REGIONS:
        text = yaml.safe_dump(settings.patroni(where, region, SECRETS, tmp_path, settings.Pace()))
        told = yaml.safe_load(text)
        raft = told["raft"]
        assert len(raft["partner_addrs"]) == 2
        assert raft["self_addr"] not in raft["partner_addrs"]
        assert raft["bind_addr"] == raft["self_addr"], "else it listens on every address of the machine"
        dcs = told["bootstrap"]["dcs"]
        assert dcs["synchronous_mode"] is True
        assert dcs["postgresql"]["use_pg_rewind"] is False
        assert dcs["postgresql"]["remove_data_directory_on_diverged_timelines"] is False
        assert told["restapi"]["listen"].startswith(where.inner(region))


@pytest.mark.parametrize("pace", [settings.Pace(), settings.FAST])
def test_the_paces_are_such_that_patroni_does_not_adjust_them(pace: settings.Pace) -> None:
    assert pace.ttl >= 20
    assert pace.loop_wait + 2 * pace.retry_timeout <= pace.ttl


@pytest.mark.parametrize("route", REGIONS)
def test_an_edge_is_open_to_one_region_only(tmp_path: Path, route: str) -> None:
    text = settings.edge(layout(tmp_path), "a", route)
    backend = text.partition("backend printcloud")[2].partition("backend own")[0]
    servers = [line.split() for line in backend.splitlines() if line.strip().startswith("server ")]
    assert len(servers) == 2 * at.SLOTS
    assert {words[1][0] for words in servers if "disabled" not in words} == {route}


def test_an_admin_socket_whose_path_is_too_long_is_left_out(tmp_path: Path) -> None:
    short, long = Layout(Path("/tmp/lab"), 18_400), Layout(Path("/tmp") / ("x" * 80), 18_400)
    assert "admin.sock" in settings.edge(short, "a", "a")
    assert "admin.sock" not in settings.edge(long, "a", "a")
    for where in (short, long):
        assert f"ipv4@127.0.1.1:{where.port(at.EDGE_ADMIN)}" in settings.edge(where, "a", "a")


def test_the_estate_file_describes_the_two_regions() -> None:
    lab = RegionsLab()
    estate = load_estate(lab.estate_file, validate)
    assert estate.recovery is not None
    moved = estate.recovery.clusters["print"]
    where = Layout(Path(), DEFAULT_BASE_PORT + at.REGIONS_OFFSET)

    def url(site: str, offset: int, path: str = "") -> str:
        return f"http://{where.outer(site)}:{where.port(offset)}{path}"

    assert moved.postgres.witness == url("w", at.PATRONI)
    assert moved.dns is not None
    assert moved.dns.server == f"{where.outer('w')}:{where.port(at.DNS)}"
    assert (moved.dns.zone, moved.dns.name, moved.dns.key_name) == (at.ZONE, at.NAME, at.TSIG_KEY)
    for region in REGIONS:
        assert moved.postgres.patroni[region] == (url(region, at.PATRONI),)
        assert moved.edges[region].health == url(region, at.EDGE, "/region")
        assert moved.edges[region].address == f"{where.outer(region)}:{where.port(at.EDGE_ADMIN)}"
        assert moved.scale[region].url == url(region, at.SUPERVISOR, "/replicas")
        assert moved.dns.answers[region] == (where.outer(region),)
        connection = moved.postgres.connections[region]
        assert (connection.host, connection.port) == (where.outer(region), where.port(at.POSTGRES))


def test_a_fence_lets_nobody_pass_who_comes_late(tmp_path: Path) -> None:
    file = tmp_path / "fence"
    assert newest(file) == (0, 0)
    for fence in ((1, 1), (1, 2), (1, 2), (2, 0), (10**12, 7)):
        with passing(file, fence):
            pass
        assert newest(file) == fence
    for late in ((1, 9), (10**12, 6)):
        with pytest.raises(StaleFenceError), passing(file, late):
            raise AssertionError("it passed")
    with passing(file, None):
        pass  # by hand
    assert newest(file) == (10**12, 7)


def test_a_fence_is_two_whole_numbers_or_none() -> None:
    assert fence_of({}) is None
    assert fence_of({"fence": [3, 1]}) == (3, 1)
    for wrong in ([1], [1, 2, 3], ["1", 2], [1.0, 2], [True, 1], "1,2", {}):
        with pytest.raises(ValueError, match="fence"):
            fence_of({"fence": wrong})


@pytest.fixture
def server() -> Iterator[tuple[str, int]]:
    def echo(request: object) -> Answer:
        return 200, {"got": request}

    running = serve(("127.0.0.1", 0), {("GET", "/x"): echo, ("POST", "/x"): echo}, Login("me", "secret"))
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield "127.0.0.1", running.server_address[1]
    running.shutdown()
    running.server_close()


GOOD = "Basic bWU6c2VjcmV0"


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status"),
    [
        ("GET", "/x", None, {}, 200),
        ("GET", "/y", None, {}, 404),
        ("POST", "/x", b"{}", {}, 401),
        ("POST", "/x", b"{}", {"authorization": "Basic bWU6d3Jvbmc="}, 401),
        ("POST", "/x", b"{}", {"authorization": "Basic \xe9"}, 401),
        ("POST", "/x", b'{"a": 1}', {"authorization": GOOD}, 200),
        ("POST", "/x", b"[]", {"authorization": GOOD}, 400),
        ("POST", "/x", b"[" * 5000, {"authorization": GOOD}, 400),
        ("POST", "/x", b"{", {"authorization": GOOD}, 400),
        ("POST", "/x", None, {"authorization": GOOD, "content-length": "99999999"}, 413),
        ("POST", "/x", None, {"authorization": GOOD, "content-length": "-1"}, 413),
    ],
)
def test_only_who_may_is_heard(
    server: tuple[str, int],
    method: str,
    path: str,
    body: bytes | None,
    headers: dict[str, str],
    status: int,
) -> None:
    connection = http.client.HTTPConnection(*server, timeout=60)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    told = json.loads(answer.read())
    connection.close()
    assert answer.status == status
    if body == b'{"a": 1}':
        assert told == {"got": {"a": 1}}


def test_a_clock_is_wrong_by_what_the_file_says_from_then_on(tmp_path: Path) -> None:
    file, moment = tmp_path / "clock", [100.0]
    now = _wrong_by(file, lambda: 1000.0, lambda: moment[0])
    assert now() == 1000.0
    file.write_text("300")
    moment[0] += 1
    assert now() == 1300.0
    file.write_text("nonsense")
    moment[0] += 1
    assert now() == 1000.0
    file.unlink()
    moment[0] += 1
    assert now() == 1000.0


def test_bytes_are_flipped_in_every_page(tmp_path: Path) -> None:
    file = tmp_path / "table"
    whole = bytes(range(256)) * (3 * PAGE_BYTES // 256)
    file.write_bytes(whole)
    assert flip(file) == 3
    after = file.read_bytes()
    changed = [place for place in range(len(whole)) if whole[place] != after[place]]
    assert len(changed) == 9
    assert {place // PAGE_BYTES for place in changed} == {0, 1, 2}
    (tmp_path / "empty").write_bytes(b"")
    assert flip(tmp_path / "empty") == 0

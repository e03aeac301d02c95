"""Posting to strangers' addresses: against receivers on loopback, each with a bad habit of its own."""

import asyncio
import socket
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from holdfast.adapters.notify.outbound import MOST_READ, MOST_REDIRECTS, NotReached, Outbound, _Pinned
from holdfast.communication.model import Channel
from holdfast.communication.targets import TargetRefused, target_of
from web_receivers import certified, floods, never_answers, never_ends, receiver, says

BODY = b'{"some": "thing"}'
HEADERS = {"Content-Type": "application/json", "webhook-id": "1"}
SOON_S = 0.5


class Names:
    """Name servers that say what a test wants, one answer after the other, the last one for good."""

    def __init__(self, **answers: Sequence[Sequence[str]]) -> None:
        self._answers = {name.replace("_", "."): list(said) for name, said in answers.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str) -> Sequence[str]:
        self.asked.append(host)
        said = self._answers.get(host)
        if said is None:
            raise NotReached("the host has no address")
        return said.pop(0) if len(said) > 1 else said[0]


async def test_a_message_arrives_as_it_was_sent_and_nothing_of_ours_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with receiver(says(200, "fine", Set_Cookie="a=b", Retry_After="7")) as there:
        outbound = Outbound(private=True)
        for _ in range(2):
            answered = await outbound.post(there.url + "?a=%2Fb&c=d+e", BODY, HEADERS)
            assert (answered.status, answered.body, answered.retry_after) == (200, b"fine", "7")
    for got in there.received:
        assert (got.path, got.body) == ("/hook?a=%2Fb&c=d+e", BODY)
        assert got.headers["webhook-id"] == "1"
        assert not got.headers.keys() & {"cookie", "authorization", "proxy-authorization", "referer"}


@pytest.mark.parametrize("status", [400, 404, 410, 429, 500, 503, 303])
async def test_what_a_receiver_says_is_handed_back(status: int) -> None:
    async with receiver(says(status, "why", Location="/other")) as there:
        assert (await Outbound(private=True).post(there.url, BODY, HEADERS)).status == status
    assert len(there.received) == 1


async def test_a_slow_receiver_costs_no_more_than_our_patience() -> None:
    async with receiver(never_answers) as there:
        with pytest.raises(NotReached, match="no complete answer"):
            await Outbound(private=True, patience_s=SOON_S).post(there.url, BODY, HEADERS)


async def test_an_answer_that_never_ends_is_an_answer_all_the_same() -> None:
    """It was delivered: sending it again would only repeat it."""
    async with receiver(never_ends) as there:
        answered = await Outbound(private=True, patience_s=SOON_S).post(there.url, BODY, HEADERS)
    assert (answered.status, answered.body) == (200, b"so far")


async def test_a_flood_is_read_no_further_than_the_bound() -> None:
    async with receiver(floods) as there:
        answered = await Outbound(private=True).post(there.url, BODY, HEADERS)
    assert (answered.status, len(answered.body)) == (200, MOST_READ)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 5000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
    ],
)
async def test_who_speaks_something_else_is_not_reached(raw: bytes) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(64)
        writer.write(raw)
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        with pytest.raises(NotReached) as failed:
            await Outbound(private=True).post(f"http://127.0.0.1:{port}/secret-path", BODY, HEADERS)
    finally:
        server.close()
        await server.wait_closed()
    assert "secret-path" not in str(failed.value)


async def test_nobody_there() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused, by nobody else either
        with pytest.raises(NotReached, match="no connection"):
            await Outbound(private=True).post(f"http://127.0.0.1:{taken.getsockname()[1]}/", BODY, HEADERS)


# What nothing is sent to


async def test_an_inner_receiver_gets_nothing_unless_inner_targets_are_allowed(tmp_path: Path) -> None:
    server, client = certified(tmp_path, "hooks.example.com")
    async with receiver(tls=server) as there:
        names = Names(hooks_example_com=[["127.0.0.1"]])
        outbound = Outbound(lookup=names, trust=client)
        for url in (there.url, there.url.replace("127.0.0.1", "hooks.example.com")):
            with pytest.raises(TargetRefused):
                await outbound.post(url, BODY, HEADERS)
        assert there.received == []
        assert names.asked == ["hooks.example.com"]

        allowed = Outbound(private=True, lookup=names, trust=client)
        await allowed.post(there.url.replace("127.0.0.1", "hooks.example.com"), BODY, HEADERS)
        assert len(there.received) == 1


@pytest.mark.parametrize(
    "inner", ["127.0.0.1", "169.254.169.254", "10.0.0.1", "::1", "fd00:ec2::254", "0.0.0.0"]
)
async def test_one_inner_address_among_outer_ones_spoils_a_name(inner: str) -> None:
    names = Names(hooks_example_com=[["93.184.216.34", inner]])
    with pytest.raises(TargetRefused, match="leads to an address"):
        await Outbound(lookup=names).post("https://hooks.example.com/", BODY, HEADERS)


async def test_a_name_that_leads_elsewhere_the_second_time_is_not_asked_a_second_time() -> None:
    async with receiver() as first, receiver(host="127.0.0.2") as second:
        names = Names(rebinding_test=[["127.0.0.1"], ["127.0.0.2"], ["169.254.169.254"]])
        outbound = Outbound(private=True, lookup=names)
        await outbound.post(f"http://rebinding.test:{first.port}/", BODY, HEADERS)
        assert (len(first.received), len(second.received)) == (1, 0)
        assert first.received[0].headers["host"] == f"rebinding.test:{first.port}"
        assert names.asked == ["rebinding.test"]


async def test_a_name_that_leads_inward_after_a_redirect_to_itself_is_refused() -> None:
    async with receiver(says(307, Location="/again")) as there:
        names = Names(rebinding_test=[["127.0.0.1"], ["169.254.169.254"]])
        with pytest.raises(TargetRefused, match="link-local"):
            await Outbound(private=True, lookup=names).post(
                f"http://rebinding.test:{there.port}/", BODY, HEADERS
            )
    assert len(there.received) == 1


async def test_sockets_are_made_to_vetted_addresses_only() -> None:
    target = target_of("https://hooks.example.com/")
    async with _Pinned(
        target, ["93.184.216.34"], private=False, trust=ssl.create_default_context()
    ) as connector:
        kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        connector._socket((*kind, ("93.184.216.34", 443))).close()
        assert connector.refused == ""
        for other in ("127.0.0.1", "169.254.169.254", "93.184.216.35"):
            with pytest.raises(OSError, match="leads to an address"):
                connector._socket((*kind, (other, 443)))


async def test_a_peer_that_is_another_than_was_vetted_gets_not_one_byte() -> None:
    class Deceived(_Pinned):
        """Its sockets lead elsewhere: a bug in a library, or a route that was bent."""

        def _socket(self, info: tuple[Any, ...]) -> socket.socket:
            connected = socket.socket(info[0], info[1], info[2])
            self._allowed = frozenset()
            return connected

    heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.set_result(await reader.read())
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    class Deceiving(Outbound):
        def _connector(self, *arguments: Any) -> _Pinned:
            return Deceived(*arguments, private=True, trust=self._trust)

    try:
        with pytest.raises(TargetRefused, match="another one than was vetted"):
            await Deceiving(private=True).post(f"http://127.0.0.1:{port}/", BODY, HEADERS)
        assert await heard == b""
    finally:
        server.close()
        await server.wait_closed()


# TLS


async def test_tls_insists_on_the_name_though_the_connection_is_made_by_number(tmp_path: Path) -> None:
    server, client = certified(tmp_path, "hooks.test")
    async with receiver(tls=server) as there:
        names = Names(hooks_test=[["127.0.0.1"]], other_test=[["127.0.0.1"]])
        outbound = Outbound(private=True, lookup=names, trust=client)
        assert (await outbound.post(f"https://hooks.test:{there.port}/", BODY, HEADERS)).status == 200
        for impostor in ("other.test", "127.0.0.1"):
            with pytest.raises(NotReached, match="certificate"):
                await outbound.post(f"https://{impostor}:{there.port}/", BODY, HEADERS)
        with pytest.raises(NotReached, match="certificate"):
            await Outbound(private=True, lookup=names).post(
                f"https://hooks.test:{there.port}/", BODY, HEADERS
            )
    assert len(there.received) == 1


# Redirects


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_followed_with_the_same_post(status: int) -> None:
    async with receiver() as last, receiver(says(status, Location=last.url + "?x=1")) as first:
        assert (await Outbound(private=True).post(first.url, BODY, HEADERS)).status == 200
    assert [got.body for got in (*first.received, *last.received)] == [BODY, BODY]
    assert last.received[0].path == "/hook?x=1"
    assert last.received[0].headers["webhook-id"] == "1"


@pytest.mark.parametrize(
    "location",
    [
        *("http://169.254.169.254/latest/meta-data/", "//169.254.169.254/", "http://168.63.129.16/metadata"),
        *("http://[fd00:ec2::254]/", "http://[::ffff:127.0.0.1]/", "http://[64:ff9b::a9fe:a9fe]/"),
        *("http://0.0.0.0/", "http://2852039166/", "http://0xa9fea9fe/", "http://0/"),
        *("file:///etc/passwd", "gopher://127.0.0.1:6379/_x", "http://user@127.0.0.1/", "http://[bad/"),
        *("http://127.0.0.1/#x", "javascript:x"),
    ],
)
async def test_a_redirect_to_what_is_refused_is_refused(location: str) -> None:
    async with receiver(says(302, Location=location)) as there:
        with pytest.raises(TargetRefused, match="redirects"):
            await Outbound(private=True).post(there.url, BODY, HEADERS)
    assert len(there.received) == 1


@pytest.mark.parametrize(
    "location",
    [
        *("https://127.0.0.1/", "https://localhost/", "https://10.0.0.1/", "https://[::1]/", "https://db/"),
        *("//192.168.0.1/", "https://hooks.example.com:25/", "http://hooks.example.com/"),
    ],
)
def test_an_outer_receiver_cannot_redirect_inward(location: str) -> None:
    before = target_of("https://hooks.example.com/a")
    with pytest.raises(TargetRefused, match="redirects"):
        Outbound()._redirected(before, location, Channel.WEBHOOK)


def test_slack_redirects_to_slack_only() -> None:
    before = target_of("https://hooks.slack.com/services/T/B/x")
    assert Outbound()._redirected(before, "/services/y", Channel.SLACK).path == "/services/y"
    with pytest.raises(TargetRefused):
        Outbound()._redirected(before, "https://hooks.example.com/", Channel.SLACK)


async def test_nobody_who_agreed_can_send_us_on_to_a_stranger() -> None:
    names = Names(first_test=[["127.0.0.1"]], stranger_test=[["127.0.0.2"]])
    async with receiver(host="127.0.0.2") as stranger:
        for elsewhere in (f"http://stranger.test:{stranger.port}/", stranger.url):
            async with receiver(says(307, Location=elsewhere)) as there:
                with pytest.raises(TargetRefused, match="to another host"):
                    await Outbound(private=True, lookup=names).post(
                        f"http://first.test:{there.port}/", BODY, HEADERS
                    )
    assert stranger.received == []
    assert names.asked == ["first.test", "first.test"]


async def test_https_is_never_left_for_http(tmp_path: Path) -> None:
    server, client = certified(tmp_path, "hooks.test")
    async with (
        receiver() as plain,
        receiver(says(307, Location=f"http://hooks.test:{plain.port}/"), tls=server) as there,
    ):
        outbound = Outbound(private=True, lookup=Names(hooks_test=[["127.0.0.1"]]), trust=client)
        with pytest.raises(TargetRefused, match="from https to http"):
            await outbound.post(f"https://hooks.test:{there.port}/", BODY, HEADERS)
    assert plain.received == []


async def test_redirects_in_a_circle_end_soon() -> None:
    async with receiver(says(307, Location="/again")) as there:
        with pytest.raises(NotReached, match="redirects more than"):
            await Outbound(private=True).post(there.url, BODY, HEADERS)
    assert len(there.received) == MOST_REDIRECTS + 1


async def test_all_hops_together_have_one_patience() -> None:
    async def dawdle(_: web.Request, __: bytes) -> web.StreamResponse:
        await asyncio.sleep(SOON_S * 0.6)
        return web.Response(status=307, headers={"Location": "/again"})

    async with receiver(dawdle) as there:
        with pytest.raises(NotReached, match="no complete answer"):
            await Outbound(private=True, patience_s=SOON_S).post(there.url, BODY, HEADERS)
    assert len(there.received) <= 2


async def test_a_host_that_has_no_address_is_not_reached() -> None:
    with pytest.raises(NotReached, match="no address"):
        await Outbound(lookup=Names()).post("https://hooks.example.com/", BODY, HEADERS)
    with pytest.raises(NotReached, match="no address"):
        await Outbound(lookup=Names(hooks_example_com=[[]])).post("https://hooks.example.com/", BODY, HEADERS)


async def test_the_systems_own_names_are_found_and_refused() -> None:
    async with receiver() as there:
        url = f"http://localhost:{there.port}/"
        assert (await Outbound(private=True).post(url, BODY, HEADERS)).status == 200

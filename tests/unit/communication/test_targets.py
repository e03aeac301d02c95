"""What may be posted to, and everything that may not."""

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.communication.model import Channel
from holdfast.communication.targets import Target, TargetRefused, refusal, target_of

GOOD = {
    "https://hooks.example.com/status": "https://hooks.example.com/status",
    "https://hooks.example.com": "https://hooks.example.com/",
    "HTTPS://Hooks.Example.COM:443/A/b?c=%2Fd&e=f~g": "https://hooks.example.com/A/b?c=%2Fd&e=f~g",
    "https://example.com:8443/x": "https://example.com:8443/x",
    "https://xn--bcher-kva.example/": "https://xn--bcher-kva.example/",
    "https://93.184.216.34/": "https://93.184.216.34/",
    "https://[2606:2800:0220:0001:0248:1893:25c8:1946]:9443/": (
        "https://[2606:2800:220:1:248:1893:25c8:1946]:9443/"
    ),
}
NO_ADDRESS = (
    "",
    "hooks.example.com",
    "//hooks.example.com/",
    *("ftp://example.com/", "file:///etc/passwd", "gopher://example.com/", "javascript:alert(1)"),
    "http://hooks.example.com/",
    *("https:///x", "https://?x", "https://", "https:/example.com/", "https:\\\\example.com\\"),
    *("https://user@example.com/", "https://user:pw@example.com/", "https://example.com@127.0.0.1/"),
    *("https://example.com/#x", "https://example.com#@127.0.0.1/", "https://example.com\\@127.0.0.1/"),
    *(
        "https://example.com/a b",
        "https://example.com/\r\nHost: x",
        "https://example.com/\t",
        " https://e.com/",
    ),
    *("https://example.com:99999/", "https://example.com:0/", "https://example.com:/", "https://e.com:4a/"),
    *("https://example.com:22/", "https://example.com:25/", "https://example.com:80/", "https://e.com:465/"),
    *("https://example.com./", "https://.example.com/", "https://exa..mple.com/", "https://-e.com/"),
    "https://example%2ecom/",
    "https://[fe80::1%25eth0]/",
    *("https://[::1", "https://::1/", "https://[g::1]/", "https://[1.2.3.4]/", "https://[::1]x/"),
    # Dots and letters of other scripts, that some programs take for plain ones.
    *("https://127\u30020.0.1/", "https://\uff11\uff12\uff17.0.0.1/", "https://example\u3002com/"),
    *(
        "https://loca\u017fhost.example.com/",
        "https://\u212aube.example.com/",
        "https://b\u00fccher.example/",
    ),
    f"https://{'a' * 64}.example.com/",
    f"https://example.com/{'a' * 2000}",
)
INNER_HOSTS = (
    *("localhost", "LOCALHOST", "db.localhost", "printer.local", "metadata.google.internal", "kubernetes"),
    *("nas.lan", "router.home.arpa", "wiki.intranet", "mail.corp"),
    *("127.0.0.1", "127.1", "127.0.1", "0x7f.1", "0x7f000001", "2130706433", "017700000001", "0177.0.0.1"),
    *("127.000.000.001", "0x7f.0x0.0x0.0x1", "00000.0.0.1", "1.2.3", "1.2.3.4.5", "256.1.1.1", "0x"),
    *("0.0.0.0", "0", "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
    *("100.64.0.1", "100.100.100.200", "169.254.169.254", "169.254.0.1", "168.63.129.16", "192.0.0.192"),
    *("192.0.2.1", "198.18.0.1", "198.51.100.7", "203.0.113.9", "192.88.99.1", "224.0.0.1", "239.1.2.3"),
    *("240.0.0.1", "255.255.255.255"),
    *("[::1]", "[::]", "[::127.0.0.1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:8.8.8.8]"),
    *("[fe80::1]", "[fec0::1]", "[fc00::1]", "[fd00:ec2::254]", "[fd20:ce::254]", "[ff02::1]"),
    *("[64:ff9b::7f00:1]", "[64:ff9b::a9fe:a9fe]", "[64:ff9b:1::1]", "[2002:7f00:1::1]", "[2002:808:808::]"),
    *("[2001:0:4136:e378:8000:63bf:3fff:fdd2]", "[2001:db8::1]", "[3fff::1]", "[100::1]", "[5f00::1]"),
    *("[::ffff:0:127.0.0.1]", "[2600::5efe:127.0.0.1]", "[2600::200:5efe:10.0.0.1]", "[4000::1]"),
)


@pytest.mark.parametrize("url", GOOD)
def test_a_public_https_address_has_one_spelling(url: str) -> None:
    assert target_of(url).url == GOOD[url]
    assert target_of(GOOD[url]).url == GOOD[url]


@pytest.mark.parametrize("url", NO_ADDRESS)
def test_what_is_no_plain_https_address_is_refused(url: str) -> None:
    with pytest.raises(TargetRefused) as refused:
        target_of(url)
    assert url not in str(refused.value) or not url


@pytest.mark.parametrize("host", INNER_HOSTS)
def test_inner_hosts_are_refused_however_they_are_written(host: str) -> None:
    with pytest.raises(TargetRefused):
        target_of(f"https://{host}/")
    with pytest.raises(TargetRefused):
        target_of(f"https://{host}:8443/path?query=1")


@pytest.mark.parametrize(
    ("url", "url_of"),
    [
        ("http://127.0.0.1:81/x", "http://127.0.0.1:81/x"),
        ("http://localhost/", "http://localhost/"),
        ("http://receiver:8080/hook", "http://receiver:8080/hook"),
        ("https://[::1]:22/", "https://[::1]:22/"),
        ("http://10.1.2.3/", "http://10.1.2.3/"),
    ],
)
def test_closed_networks_may_allow_inner_targets(url: str, url_of: str) -> None:
    assert target_of(url, private=True).url == url_of
    with pytest.raises(TargetRefused):
        target_of(url)


@pytest.mark.parametrize(
    "host",
    [
        *("169.254.169.254", "168.63.129.16", "100.100.100.200", "[fd00:ec2::254]", "[fe80::1]"),
        *("0.0.0.0", "224.0.0.1", "255.255.255.255", "[::]", "[ff02::1]", "[::ffff:127.0.0.1]"),
        *("2130706433", "127.1", "0x7f.1"),
        "[64:ff9b::a9fe:a9fe]",
    ],
)
def test_what_clouds_answer_on_and_what_is_in_disguise_is_refused_in_closed_networks_too(host: str) -> None:
    with pytest.raises(TargetRefused):
        target_of(f"http://{host}/", private=True)


SLACK = "https://hooks.slack.com/services/T0/B0/abc"
TEAMS = (
    "https://contoso.webhook.office.com/webhookb2/a@b/IncomingWebhook/c/d",
    "https://prod-12.westeurope.logic.azure.com:443/workflows/ab/triggers/manual/paths/invoke?sp=%2Ft%2Fr&sv=1",
    "https://default0.11.environment.api.powerplatform.com/powerautomate/automations/direct/workflows/x",
)


def test_slack_and_teams_are_posted_to_and_nobody_else_by_their_channels() -> None:
    assert target_of(SLACK, Channel.SLACK).host == "hooks.slack.com"
    for url in TEAMS:
        assert target_of(url, Channel.TEAMS).port == 443
    others = (
        "https://example.com/",
        "https://hooks.slack.com.example.com/",
        "https://hooks.slack.com:8443/",
        "https://evilwebhook.office.com/",
        "https://webhook.office.com.example.com/",
        "https://logic.azure.com/",
        "https://93.184.216.34/",
    )
    for url in others:
        for channel in (Channel.SLACK, Channel.TEAMS):
            with pytest.raises(TargetRefused):
                target_of(url, channel)
    with pytest.raises(TargetRefused):
        target_of(SLACK, Channel.TEAMS)
    with pytest.raises(TargetRefused):
        target_of(TEAMS[0], Channel.SLACK)
    assert target_of("http://127.0.0.1:9/", Channel.SLACK, private=True).port == 9


def test_an_ipv4_host_behind_nat64_is_judged_by_what_it_is() -> None:
    assert refusal("64:ff9b::808:808") == ""
    assert refusal("64:ff9b::a00:1") != ""
    assert refusal("64:ff9b::a00:1", private=True) == ""


@pytest.mark.parametrize("address", ["", "example.com", "1.2.3", "fe80::1%eth0", "2606:2800::1%1"])
def test_what_is_no_address_is_not_connected_to(address: str) -> None:
    assert refusal(address) != ""
    assert refusal(address, private=True) != ""


@settings(deadline=None)
@given(st.ip_addresses())
def test_whatever_is_allowed_is_global_for_python_too(
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if refusal(ip) == "":
        assert ip.is_global or ip in ipaddress.ip_network("64:ff9b::/96")
        assert not ip.is_multicast
        assert not ip.is_reserved or ip in ipaddress.ip_network("64:ff9b::/96")


@settings(deadline=None)
@given(st.ip_addresses(v=4, network="10.0.0.0/8") | st.ip_addresses(v=4, network="169.254.0.0/16"))
def test_no_disguise_helps_an_inner_address(inner: ipaddress.IPv4Address) -> None:
    number = int(inner)
    for disguise in (
        number,
        0xFFFF << 32 | number,
        0xFFFF << 48 | number,
        0x0064_FF9B << 96 | number,
        0x2002 << 112 | number << 80 | 1,
        0x2001_0000 << 96 | number << 64,
        0x2001_0000 << 96 | (number ^ 0xFFFF_FFFF),
        0x2600 << 112 | 0x5EFE << 32 | number,
        0x2600 << 112 | 0x0200_5EFE << 32 | number,
    ):
        assert refusal(ipaddress.IPv6Address(disguise)) != ""


@settings(deadline=None)
@given(st.text(max_size=60) | st.from_regex(r"https?://[a-z0-9.:\[\]@%/-]{0,40}", fullmatch=True))
def test_any_text_is_a_target_with_one_spelling_or_refused(text: str) -> None:
    for private in (False, True):
        try:
            target = target_of(text, private=private)
        except TargetRefused:
            continue
        assert isinstance(target, Target)
        assert target_of(target.url, private=private) == target
        assert target.url.isascii()

"""The lab's name server: what it answers, and which updates it takes. Pure but for its file."""

from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.tsigkeyring
import dns.update
import pytest

from holdfast.lab.regions.nameserver import Zone, answer

KEYRING: Any = dns.tsigkeyring.from_text({"holdfast.": ("hmac-sha256", "c2VjcmV0c2VjcmV0c2VjcmV0")})
OTHER: Any = dns.tsigkeyring.from_text({"holdfast.": ("hmac-sha256", "b3RoZXJvdGhlcm90aGVyb3Ro")})
NAME = "print.lab.test."


@pytest.fixture
def zone(tmp_path: Path) -> Zone:
    return Zone(tmp_path / "zone.json", "lab.test.", {NAME: "127.0.1.1"})


def asked(zone: Zone, name: str, kind: str = "A") -> dns.message.Message:
    wire = answer(zone, KEYRING, dns.message.make_query(name, kind).to_wire())
    assert wire is not None
    return dns.message.from_wire(wire)


def addresses(zone: Zone) -> list[str]:
    return sorted(rdata.to_text() for rrset in asked(zone, NAME).answer for rdata in rrset)


def sent(zone: Zone, update: dns.update.UpdateMessage, keyring: Any = KEYRING) -> dns.rcode.Rcode:
    if keyring is not None:
        update.use_tsig(keyring, algorithm="hmac-sha256")
    wire = answer(zone, KEYRING, update.to_wire())
    assert wire is not None
    return dns.message.from_wire(wire, keyring=KEYRING, request_mac=update.mac).rcode()


def pointing(to: str, was: str | None = None) -> dns.update.UpdateMessage:
    update = dns.update.UpdateMessage("lab.test.")
    if was is not None:
        update.present("print", "A", was)
    update.replace("print", 1, "A", to)
    return update


def test_what_it_knows_it_answers_with_authority(zone: Zone) -> None:
    told = asked(zone, NAME)
    assert told.rcode() == dns.rcode.NOERROR
    assert told.flags & dns.flags.AA
    assert [rdata.to_text() for rdata in told.answer[0]] == ["127.0.1.1"]
    assert told.answer[0].ttl == 1


@pytest.mark.parametrize(
    ("name", "kind", "rcode"),
    [
        ("nothing.lab.test.", "A", dns.rcode.NXDOMAIN),
        (NAME, "AAAA", dns.rcode.NOERROR),
        ("example.com.", "A", dns.rcode.REFUSED),
        ("lab.test.", "SOA", dns.rcode.NOERROR),
    ],
)
def test_what_it_does_not_know_it_says(zone: Zone, name: str, kind: str, rcode: dns.rcode.Rcode) -> None:
    assert asked(zone, name, kind).rcode() == rcode


def test_an_update_is_kept_before_it_is_answered(zone: Zone, tmp_path: Path) -> None:
    serial = zone.serial
    assert sent(zone, pointing("127.0.2.1")) == dns.rcode.NOERROR
    assert addresses(zone) == ["127.0.2.1"]
    again = Zone(tmp_path / "zone.json", "lab.test.", {NAME: "127.0.1.1"})
    assert addresses(again) == ["127.0.2.1"]
    assert again.serial == serial + 1
    assert sent(again, pointing("127.0.2.1")) == dns.rcode.NOERROR
    assert again.serial == serial + 1, "what changes nothing is no change"


def test_an_update_with_a_prerequisite_is_a_compare_and_set(zone: Zone) -> None:
    assert sent(zone, pointing("127.0.2.1", was="127.0.9.9")) == dns.rcode.NXRRSET
    assert addresses(zone) == ["127.0.1.1"]
    assert sent(zone, pointing("127.0.2.1", was="127.0.1.1")) == dns.rcode.NOERROR
    assert sent(zone, pointing("127.0.3.1", was="127.0.1.1")) == dns.rcode.NXRRSET, "the late one of two"
    assert addresses(zone) == ["127.0.2.1"]


def test_the_other_prerequisites_of_rfc_2136(zone: Zone) -> None:
    for make, rcode in (
        (lambda u: u.present("print"), dns.rcode.NOERROR),
        (lambda u: u.present("other"), dns.rcode.NXDOMAIN),
        (lambda u: u.present("other", "A"), dns.rcode.NXRRSET),
        (lambda u: u.absent("print"), dns.rcode.YXDOMAIN),
        (lambda u: u.absent("print", "A"), dns.rcode.YXRRSET),
        (lambda u: u.absent("other"), dns.rcode.NOERROR),
    ):
        update = dns.update.UpdateMessage("lab.test.")
        make(update)
        update.add("print", 1, "A", "127.0.2.1")
        before = zone.serial
        assert sent(zone, update) == rcode
        if rcode != dns.rcode.NOERROR:
            assert zone.serial == before
    assert addresses(zone) == ["127.0.1.1", "127.0.2.1"]
    update = dns.update.UpdateMessage("lab.test.")
    update.delete("print", "A", "127.0.1.1")
    assert sent(zone, update) == dns.rcode.NOERROR
    assert addresses(zone) == ["127.0.2.1"]


@pytest.mark.parametrize("keyring", [None, OTHER])
def test_who_does_not_know_the_key_changes_nothing(zone: Zone, keyring: Any) -> None:
    update = pointing("127.0.2.1")
    if keyring is not None:
        update.use_tsig(keyring, algorithm="hmac-sha256")
    wire = answer(zone, KEYRING, update.to_wire())
    assert wire is not None
    assert dns.message.from_wire(wire, continue_on_error=True).rcode() in {
        dns.rcode.REFUSED,
        dns.rcode.NOTAUTH,
    }
    assert addresses(zone) == ["127.0.1.1"]


def test_only_addresses_and_texts_in_its_zone_are_taken(zone: Zone) -> None:
    other = dns.update.UpdateMessage("example.com.")
    other.replace("print", 1, "A", "127.0.2.1")
    assert sent(zone, other) == dns.rcode.NOTAUTH
    mail = dns.update.UpdateMessage("lab.test.")
    mail.replace("print", 1, "MX", "10 mail.lab.test.")
    assert sent(zone, mail) == dns.rcode.REFUSED
    text = dns.update.UpdateMessage("lab.test.")
    text.replace("fence", 1, "TXT", "7 1")
    assert sent(zone, text) == dns.rcode.NOERROR
    assert asked(zone, "fence.lab.test.", "TXT").answer[0][0].to_text() == '"7" "1"'
    assert addresses(zone) == ["127.0.1.1"]


def test_garbage_changes_nothing_and_a_changed_update_nothing_else(zone: Zone) -> None:
    """Not signed are the message's id, which the signature has once more, and the signature's own TTL."""
    unsigned = 2 + 4
    update = pointing("127.0.2.1")
    update.use_tsig(KEYRING, algorithm="hmac-sha256")
    wire = bytearray(update.to_wire())
    taken = 0
    for place in range(len(wire)):
        answer(zone, KEYRING, bytes(wire[:place]))
        assert addresses(zone) == ["127.0.1.1"]
        broken = bytearray(wire)
        broken[place] ^= 0xFF
        answer(zone, KEYRING, bytes(broken))
        if addresses(zone) != ["127.0.1.1"]:
            assert addresses(zone) == ["127.0.2.1"]
            taken += 1
            assert sent(zone, pointing("127.0.1.1")) == dns.rcode.NOERROR
    assert taken <= unsigned

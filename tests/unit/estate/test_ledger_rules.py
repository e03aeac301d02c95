"""What must hold of `ledger`."""

import pytest
from estate_files import VALID, load, problems

LEDGER = VALID + "ledger:\n  name: ledger.example.com\n  signing_key: env:LEDGER_KEY\n"
KEY = "ledger.example.com+8f3d2a11+AT" + "A" * 42


def test_the_least() -> None:
    ledger = load(LEDGER).ledger
    assert ledger is not None
    assert (ledger.listen, ledger.second_region, ledger.keep) == ("127.0.0.1:8083", None, None)


@pytest.mark.parametrize(
    ("more", "where"),
    [
        ("listen: 127.0.0.1:8080", "ledger.listen"),
        ("listen: 127.0.0.1:8082", "ledger.listen"),
        ("second_region: {standby: us, mode: synchronous, when_away: accept}", "when_away"),
        ("second_region: {standby: us, within: 10ms}", "within"),
        ("second_region: {standby: us, within: 1h}", "within"),
        ("keep: 36h", "ledger.keep"),
        ("keep: 0s", "ledger.keep"),
        ("unusual: {gap_after: 0s}", "gap_after"),
        ("pseudonym_key: env:LEDGER_KEY", "pseudonym_key"),
        (f"public_key: {KEY.replace('ledger.', 'other.')}", "public_key"),
        ("public_key: nonsense", "public_key"),
        ("witness: {url: ftp://w.example, key: x}", "witness"),
        ("signing_key: in the file", "signing_key"),
    ],
)
def test_what_cannot_be(more: str, where: str) -> None:
    text = LEDGER.replace("  signing_key: env:LEDGER_KEY\n", "") if "signing_key" in more else LEDGER
    found = problems(f"{text}  {more}\n")
    assert any(where in str(each) for each in found), found


@pytest.mark.parametrize("name", ["Ledger", "a b", "a+b", "/a", "a//b", "a/", "-a", ""])
def test_a_name_that_cannot_stand_in_a_checkpoint(name: str) -> None:
    assert problems(LEDGER.replace("ledger.example.com", f'"{name}"'))


@pytest.mark.parametrize("name", ["l", "ledger.example.com", "example.com/print-ledger"])
def test_a_name_that_can(name: str) -> None:
    ledger = load(LEDGER.replace("ledger.example.com", name)).ledger
    assert ledger is not None
    assert ledger.name == name


def test_what_fits() -> None:
    more = f"""\
  second_region: {{standby: us_east, mode: flushed, when_away: accept, within: 5s}}
  witness: {{url: "https://witness.example", key: "{KEY.replace("ledger", "witness")}"}}
  public_key: {KEY}
  pseudonym_key: env:PSEUDONYM_KEY
  keep: 90d
  unusual: {{gap_after: 12h}}
"""
    assert load(LEDGER + more).ledger is not None

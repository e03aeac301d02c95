"""What must hold of `ledger`. Pure."""

import base64
from collections.abc import Iterator
from datetime import timedelta

from holdfast.estate.findings import Finding
from holdfast.estate.ledger import Ledger
from holdfast.estate.model import Estate

SHORTEST_KEEP = timedelta(days=1)
SHORTEST_WAIT = timedelta(seconds=1)
LONGEST_WAIT = timedelta(minutes=1)


def ledger_rules(estate: Estate) -> Iterator[Iterator[Finding]]:
    """One iterator for each rule, so that in a partial estate each stops by itself."""
    ledger = getattr(estate, "ledger", None)
    if ledger is None:
        return
    yield _listening(ledger, estate)
    yield _region(ledger)
    yield _times(ledger)
    yield _keys(ledger)


def _listening(ledger: Ledger, estate: Estate) -> Iterator[Finding]:
    others = {
        "site.listen": estate.site.listen,
        "agents.listen": estate.agents.listen,
        "console.listen": estate.console.listen,
    }
    for name, listen in others.items():
        if listen == ledger.listen:
            hint = "each needs a port of its own"
            yield Finding(("ledger", "listen"), f"that is `{name}` already", hint)


def _region(ledger: Ledger) -> Iterator[Finding]:
    region = ledger.second_region
    if region is None:
        return
    if region.mode == "synchronous" and region.when_away == "accept":
        yield Finding(
            ("ledger", "second_region", "when_away"),
            "with mode `synchronous` the database itself stalls",
            "mode: flushed lets Holdfast decide",
        )
    if not SHORTEST_WAIT <= region.within <= LONGEST_WAIT:
        hint = "a source waits so long for its answer: 10s is usual"
        yield Finding(("ledger", "second_region", "within"), "is not between 1s and 1m", hint)


def _times(ledger: Ledger) -> Iterator[Finding]:
    if ledger.keep is not None and (ledger.keep < SHORTEST_KEEP or ledger.keep % SHORTEST_KEEP):
        yield Finding(("ledger", "keep"), "is not in whole days", "at least 1d")
    if ledger.unusual.gap_after <= timedelta(0):
        hint = "records that arrive late are usual: 1d"
        yield Finding(("ledger", "unusual", "gap_after"), "would tell of every record that is late", hint)


def _keys(ledger: Ledger) -> Iterator[Finding]:
    if ledger.pseudonym_key is not None and ledger.pseudonym_key == ledger.signing_key:
        hint = "who can check a signature must not be able to tell pseudonyms"
        yield Finding(("ledger", "pseudonym_key"), "that is the signing key already", hint)
    if ledger.public_key is not None and ledger.public_key.partition("+")[0] != ledger.name:
        hint = "copy the line that `holdfast ledger key show` prints"
        yield Finding(("ledger", "public_key"), f"is not that of `{ledger.name}`", hint)
    for place, key in enumerate(ledger.former_keys):
        if key == ledger.public_key or (ledger.witness is not None and key == ledger.witness.key):
            hint = "it is for keys that are no longer used"
            yield Finding(("ledger", "former_keys", place), "that is the key of now", hint)
        elif not is_a_witness(key) and key.partition("+")[0] != ledger.name:
            hint = "a ledger's key bears its name for ever"
            yield Finding(("ledger", "former_keys", place), f"is not one of `{ledger.name}`", hint)


def is_a_witness(key: str) -> bool:
    """The first byte of a verifier key says what it signs: 4 is a cosignature (C2SP signed-note)."""
    return base64.b64decode(key.split("+", 2)[2])[:1] == b"\x04"

"""The accounting ledger: its name, its keys by reference, and where its second copy is."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from holdfast.estate.values import Declared, Duration, Secret

VERIFIER_KEY = r"^[^\s+]+\+[0-9a-f]{8}\+[A-Za-z0-9+/]{44}$"


class LedgerRegion(Declared):
    """The standby of the database in another region, which must have a record before it is acknowledged."""

    standby: str = Field(
        min_length=1,
        max_length=63,
        pattern=r"^[!-~]+$",
        description="the application_name that it connects with",
    )
    mode: Literal["flushed", "synchronous"] = Field(
        "flushed",
        description="flushed: Holdfast waits for it; synchronous: the database does, at each commit",
    )
    when_away: Literal["stall", "accept"] = Field(
        "stall", description="stall: nothing is acknowledged; accept: acknowledged as in one region"
    )
    within: Duration = Field(timedelta(seconds=10), description="it is away when it has not flushed by then")


class LedgerWitness(Declared):
    """Somebody with a key of their own who cosigns checkpoints, and remembers them."""

    url: str = Field(pattern=r"^https?://[^\s/]+\S*$", max_length=500)
    key: str = Field(pattern=VERIFIER_KEY, max_length=300, description="its verifier key: name+id+key")
    ca_file: str | None = Field(None, description="left out: the system's authorities")


class Unusual(Declared):
    """From when on what is not as it should be becomes an alarm."""

    gap_after: Duration = Field(
        timedelta(days=1), description="a number that has not come for so long while later ones have"
    )


class Ledger(Declared):
    """Where records of jobs are taken in, for ever."""

    name: str = Field(
        min_length=1,
        max_length=100,
        pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(/[a-z0-9]([a-z0-9._-]*[a-z0-9])?)*$",
        description="of its logs, for ever: a name of yours as in DNS, ledger.example.com",
    )
    listen: str = Field("127.0.0.1:8083", pattern=r"^[^\s:]+:\d{1,5}$|^\[[0-9a-fA-F:]+\]:\d{1,5}$")
    public_url: str | None = Field(
        None, pattern=r"^https?://\S+$", max_length=500, description="where sources and auditors reach it"
    )
    signing_key: Secret = Field(description="the Ed25519 key that `holdfast ledger key` makes, by reference")
    public_key: str | None = Field(
        None,
        pattern=VERIFIER_KEY,
        max_length=300,
        description="its verifier key, for who verifies without the signing key",
    )
    former_keys: tuple[Annotated[str, Field(pattern=VERIFIER_KEY, max_length=300)], ...] = Field(
        (), description="verifier keys that the ledger or its witness had before: what they signed stays good"
    )
    second_region: LedgerRegion | None = None
    witness: LedgerWitness | None = None
    person_keys: tuple[Annotated[str, Field(min_length=1, max_length=500)], ...] = Field(
        (), description="folders of persons' keys, each whole; left out: ledger/person-keys of the data dir"
    )
    pseudonym_key: Secret | None = Field(
        None, description="32 random bytes in base64, by reference: what pseudonyms are made with"
    )
    keep: Duration | None = Field(None, description="how long entries can be read; left out: for ever")
    unusual: Unusual = Unusual()

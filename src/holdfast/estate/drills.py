"""Drills: what is tried, how often, where, and what of it is public; and the log that proves it."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from holdfast.estate.ledger import VERIFIER_KEY, LedgerWitness
from holdfast.estate.values import Declared, Duration, Key, Secret


class DrillTarget(Declared):
    """What the operator aims at, beside what agreements say."""

    rpo: Duration | None = None
    rto: Duration | None = None


class Drill(Declared):
    """A scenario that is tried on one subject."""

    scenario: Literal["restore", "corruption", "region-outage"]
    subject: Key = Field(description="a database; of a region outage, a cluster")
    where: Literal["isolated", "lab", "production"] = Field(
        "isolated", description="on a copy apart from everything; in the lab; or on the real thing"
    )
    every: Duration | None = Field(None, description="left out: only when somebody starts it")
    valid_for: Duration = Field(timedelta(days=90), description="how long a drill proves anything")
    agreements: tuple[Key, ...] = Field(
        (), description="whose terms it is measured against; left out: all that cover the subject's cluster"
    )
    target: DrillTarget = DrillTarget()
    region: Key | None = Field(None, description="restore from there; left out: a region picked at random")
    game_day: bool = Field(True, description="may be picked on a game day")
    public: tuple[Literal["drilled", "measured", "target", "contract"], ...] = Field(
        (), description="what of it the site's continuity page shows; left out: nothing"
    )


class EvidenceKeeping(Declared):
    """The log of evidence: its name, the key that signs it, and who cosigns it."""

    name: str | None = Field(
        None,
        min_length=1,
        max_length=100,
        pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(/[a-z0-9]([a-z0-9._-]*[a-z0-9])?)*$",
        description="for ever; left out: `<ledger.name>/evidence`, without a ledger `holdfast/evidence`",
    )
    signing_key: Secret | None = Field(
        None, description="an Ed25519 key, by reference; left out: one is made in the data directory"
    )
    old_keys: tuple[Annotated[str, Field(pattern=VERIFIER_KEY, max_length=300)], ...] = Field(
        (),
        max_length=20,
        description="verifier keys that signed or cosigned earlier entries: name+id+key",
    )
    witness: LedgerWitness | None = Field(None, description="who cosigns the log; left out: nobody")

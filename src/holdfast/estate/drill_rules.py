"""What must hold of `recovery.drills` and `recovery.evidence`. Pure."""

from collections.abc import Iterator
from datetime import timedelta

from holdfast.estate.drills import Drill, EvidenceKeeping
from holdfast.estate.findings import Finding
from holdfast.estate.ledger_rules import is_a_witness
from holdfast.estate.model import Estate
from holdfast.estate.source import Path
from holdfast.estate.suggest import did_you_mean

SHORTEST_EVERY = timedelta(hours=1)


def drill_rules(estate: Estate) -> Iterator[Iterator[Finding]]:
    """One iterator for each rule, so that in a partial estate each stops by itself."""
    recovery = getattr(estate, "recovery", None)
    for key, drill in getattr(recovery, "drills", {}).items():
        path: Path = ("recovery", "drills", key)
        yield _subject(path, drill, estate)
        yield _region(path, drill, estate)
        yield _terms(path, drill, estate)
        yield _times(path, drill)
        yield _where(path, drill)
    evidence = getattr(recovery, "evidence", None)
    if evidence is not None:
        yield _name(evidence, estate)
        yield _witness(evidence)


def _subject(path: Path, drill: Drill, estate: Estate) -> Iterator[Finding]:
    path = (*path, "subject")
    if drill.scenario != "region-outage":
        if drill.subject not in estate.databases:
            hint = did_you_mean(drill.subject, estate.databases) or "a database's key in `databases`"
            yield Finding(path, f"there is no database `{drill.subject}`", hint)
        return
    recovery = estate.recovery
    moved = {} if recovery is None else recovery.clusters
    if drill.subject not in estate.clusters:
        yield Finding(
            path, f"there is no cluster `{drill.subject}`", did_you_mean(drill.subject, estate.clusters)
        )
    elif drill.subject not in moved:
        hint = f"add `recovery.clusters.{drill.subject}`"
        yield Finding(path, "nothing is declared of how this cluster is moved", hint)


def _region(path: Path, drill: Drill, estate: Estate) -> Iterator[Finding]:
    database = estate.databases.get(drill.subject)
    if drill.region is None or database is None:
        return
    if drill.region not in database.copies:
        hint = did_you_mean(drill.region, database.copies) or f"there are: {', '.join(database.copies)}"
        yield Finding((*path, "region"), f"`{drill.subject}` has no copy there", hint)


def _terms(path: Path, drill: Drill, estate: Estate) -> Iterator[Finding]:
    for number, key in enumerate(drill.agreements):
        if key not in estate.agreements:
            hint = did_you_mean(key, estate.agreements)
            yield Finding((*path, "agreements", number), f"there is no agreement `{key}`", hint)


def _times(path: Path, drill: Drill) -> Iterator[Finding]:
    if drill.every is not None and drill.every < SHORTEST_EVERY:
        yield Finding((*path, "every"), "is too often", "at least 1h; 7d is usual")
    if drill.valid_for <= timedelta(0):
        yield Finding((*path, "valid_for"), "would prove nothing", "90d is usual")
    elif drill.every is not None and drill.every > drill.valid_for:
        hint = "held less often than that, it is expired in between"
        yield Finding((*path, "every"), "is longer than `valid_for`", hint)


def _where(path: Path, drill: Drill) -> Iterator[Finding]:
    if drill.scenario == "region-outage" and drill.where == "isolated":
        hint = "lab, or production where users may be moved"
        yield Finding((*path, "where"), "a region cannot be lost apart from everything", hint)
    elif drill.scenario != "region-outage" and drill.where == "production":
        hint = "isolated: what is restored is never what is used"
        yield Finding((*path, "where"), "copies are always tried apart", hint)


def _name(evidence: EvidenceKeeping, estate: Estate) -> Iterator[Finding]:
    ledger = estate.ledger
    if evidence.name is not None and ledger is not None and evidence.name == ledger.name:
        hint = "leave it out, or take another name: two logs of one name cannot be told apart"
        yield Finding(("recovery", "evidence", "name"), "that is the ledger's", hint)


def _witness(evidence: EvidenceKeeping) -> Iterator[Finding]:
    if evidence.witness is not None and not is_a_witness(evidence.witness.key):
        hint = "the line that `holdfast ledger key new NAME --witness --out FILE` prints"
        yield Finding(("recovery", "evidence", "witness", "key"), "is not a witness's key", hint)

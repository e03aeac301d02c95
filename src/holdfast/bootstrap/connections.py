"""`holdfast check`: tries everything that the estate connects to, once.

It changes nothing, but that a store is given a small object, which is deleted again.
"""

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from holdfast.adapters.notify.mail import RelayAway, try_relay
from holdfast.adapters.postgres.server.external import ExternalPostgres
from holdfast.adapters.probes import Probes
from holdfast.availability.judging import compile_check, judge
from holdfast.availability.model import Outcome
from holdfast.bootstrap.alerting import channel_findings
from holdfast.bootstrap.couriers import relay_of
from holdfast.bootstrap.estates import heartbeats_of, secret_of
from holdfast.estate.checks import Check, HeartbeatCheck
from holdfast.estate.communication import Mail
from holdfast.estate.model import Estate
from holdfast.estate.values import LOCAL, SecretRef
from holdfast.interfaces.cli.ports import Finding, Place, Progress, Report
from holdfast.kernel.errors import HoldfastError

AT_ONCE = 50


def warnings_of(estate: Estate) -> Sequence[Finding]:
    """What is valid and works, and leaves a door open."""
    from holdfast.interfaces.console.guard import takes_any_host  # noqa: PLC0415  the web framework

    if not takes_any_host(estate.console):
        return []
    text = (
        f"listens on {estate.console.listen} and answers to any host name, which helps an attacker who bends "
        "a name to its address; set console.url to the address that browsers use"
    )
    return [Finding("console", ok=True, text=text, warning=True)]


async def try_connections(estate: Estate, place: Place, report: Report) -> Sequence[Finding]:
    """Secrets, the database, what backups need, and one attempt of every check, in the file's order."""
    config = place.config
    findings = [_secret(subject, config, ref) for subject, ref in _secrets(estate)]
    findings += channel_findings(estate, config)
    if estate.mail is not None:
        findings.append(await _relay(config, estate.mail))
    if estate.postgres.url is not None:
        findings.append(await _database(config, estate.postgres.url))
    if estate.site.publish:
        from holdfast.bootstrap.publishing import place_findings  # noqa: PLC0415  the whole site

        findings += await place_findings(estate, config)
    if estate.databases or estate.backup.stores:
        from holdfast.bootstrap.backup.checking import backup_findings  # noqa: PLC0415  all of backup

        findings += await backup_findings(estate, place, report)
    if estate.ledger is not None:
        from holdfast.bootstrap.ledger.trying import ledger_findings  # noqa: PLC0415  its adapters

        findings += await ledger_findings(estate, place)
    if estate.recovery is not None:
        from holdfast.bootstrap.recovery.trying import (  # noqa: PLC0415
            evidence_findings,
            evidence_witness_findings,
        )

        findings += evidence_findings(estate, place)
        findings += await evidence_witness_findings(estate, place)
    probes = Probes(resolve_secret=partial(secret_of, config))
    gate = asyncio.Semaphore(AT_ONCE)
    checks = [
        (f"{cluster_key}/{key}/{check_key}", check)
        for cluster_key, cluster in estate.clusters.items()
        for key, component in cluster.components.items()
        for check_key, check in component.checks.items()
        # What agents look at may not be reachable from here, and beats cannot be asked for.
        if LOCAL in check.seen_from and not isinstance(check, HeartbeatCheck)
    ]
    done = 0

    async def attempt(subject: str, check: Check) -> Finding:
        nonlocal done
        async with gate:
            finding = await _attempt(probes, subject, check)
        done += 1
        report(Progress(f"tried {subject}", done, len(checks)))
        return finding

    try:
        findings += await asyncio.gather(*(attempt(*each) for each in checks))
    finally:
        await probes.close()
    return findings


async def _attempt(probes: Probes, subject: str, check: Check) -> Finding:
    observation = await probes.attempt(check)
    outcome, reason = judge(compile_check(check), observation)
    return Finding(subject, outcome is Outcome.GOOD, reason or "good", observation.timings.total_us / 1000)


def _secrets(estate: Estate) -> list[tuple[str, SecretRef]]:
    links = [
        (f"agreements/{key}/report_link", agreement.report_link)
        for key, agreement in estate.agreements.items()
        if agreement.report_link is not None
    ]
    links += [(f"{name}/token", check.token) for name, check in heartbeats_of(estate)]
    if estate.communication.encryption_key is not None:
        links.append(("communication.encryption_key", estate.communication.encryption_key))
    return links if estate.postgres.url is None else [("postgres.url", estate.postgres.url), *links]


def _secret(subject: str, config: Path, ref: SecretRef) -> Finding:
    try:
        secret_of(config, ref)
    except HoldfastError as error:
        return Finding(subject, ok=False, text=str(error))
    return Finding(subject, ok=True, text="found")


async def _relay(config: Path, mail: Mail) -> Finding:
    """Connects, secures the connection and logs in as the sender does; sends no mail."""
    began = time.monotonic()
    try:
        text = await try_relay(relay_of(mail, config))
    except (HoldfastError, RelayAway) as error:
        return Finding("mail", ok=False, text=str(error))
    return Finding("mail", ok=True, text=text, took_ms=(time.monotonic() - began) * 1000)


async def _database(config: Path, ref: SecretRef) -> Finding:
    """Connects and asks for the version; makes nothing."""
    began = time.monotonic()
    try:
        version = await ExternalPostgres(secret_of(config, ref)).look()
    except HoldfastError as error:
        return Finding("database", ok=False, text=str(error))
    return Finding("database", ok=True, text=version, took_ms=(time.monotonic() - began) * 1000)

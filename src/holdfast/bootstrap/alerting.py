"""Alerting in the controller's process, and the channels as commands use them."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import structlog

from holdfast.adapters.notify.channels import TIMEOUT_S, AppriseNotifier, check_url
from holdfast.adapters.postgres.alerting import PostgresAlerts
from holdfast.adapters.postgres.connect import open_pool
from holdfast.adapters.postgres.conninfo import Conninfo
from holdfast.adapters.postgres.reading import PostgresReadingStore
from holdfast.availability.alerting.model import Kind, Outcome, pattern_matches
from holdfast.availability.alerting.service import AlertRounds, Deliveries, try_channels
from holdfast.availability.alerting.wording import trial_message
from holdfast.availability.inventory import Inventory
from holdfast.bootstrap.estates import secret_of
from holdfast.bootstrap.leading import ControllerPart, Note
from holdfast.estate.model import Estate
from holdfast.estate.scope import declared
from holdfast.estate.suggest import did_you_mean
from holdfast.interfaces.cli.ports import Finding
from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import HoldfastError

ROUND_EVERY_S = 15.0
DELIVER_EVERY_S = 2.0
PRUNE_EVERY_S = 3600.0
KEPT_FOR = timedelta(days=365)
LEASE = timedelta(seconds=4 * TIMEOUT_S)
"""Longer than sending takes, marking included: when it ends, its holder is most likely gone."""

log = structlog.get_logger()


class UnknownChannel(HoldfastError):  # noqa: N818  a state of affairs more than an error
    """The estate has no such channel: what was queued for it can never be sent."""


class UnknownSubject(HoldfastError):  # noqa: N818
    """Nothing in the estate could raise an alert that matches."""


class Alerting(ControllerPart):
    """Rounds while this controller leads, and deliveries always: any controller may send what is queued."""

    def __init__(
        self, config: Path, conninfo: Conninfo, clock: Clock, *, leading: Callable[[], bool], note: Note
    ) -> None:
        super().__init__(conninfo, clock, leading=leading, note=note)
        self._config = config

    async def run(self) -> None:
        """Run until cancelled. The database and every channel may be away at any time."""
        async with open_pool(self._conninfo, "alerting", max_size=3) as pool:
            store = PostgresAlerts(pool)
            rounds = AlertRounds(
                PostgresReadingStore(pool), store, self._clock, self._in_force, on_event=self._note
            )
            notifier = AppriseNotifier(self._url_of)
            deliveries = Deliveries(store, notifier, self._clock, lease=LEASE, on_event=self._note)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._repeat("alerts", rounds.run_once, ROUND_EVERY_S))
                    group.create_task(
                        self._repeat("alerts", deliveries.start_due, DELIVER_EVERY_S, only_leading=False)
                    )
                    group.create_task(self._repeat("alerts", partial(self._prune, store), PRUNE_EVERY_S))
            finally:
                await deliveries.close()

    async def _prune(self, store: PostgresAlerts) -> None:
        await store.prune(self._clock.now() - KEPT_FOR)

    def _in_force(self) -> Inventory:
        if self._inventory is None:
            raise UnknownChannel("no estate is known yet")
        return self._inventory

    def _url_of(self, channel: str) -> str:
        return url_of(self._in_force().estate, self._config, channel)


def url_of(estate: Estate, config: Path, channel: str) -> str:
    """A channel's URL, read anew. Raises UnknownChannel, or SecretError, neither of which holds it."""
    declared = estate.alerts.channels.get(channel)
    if declared is None:
        known = ", ".join(estate.alerts.channels) or "none; declare one under `alerts.channels`"
        raise UnknownChannel(f"no channel is called {channel!r}", hint=f"there are: {known}")
    return secret_of(config, declared.url)


def check_pattern(pattern: str, estate: Estate) -> None:
    """Raises UnknownSubject for a silence that no alert of this estate could match: a typing error."""
    components = ["/".join(pair) for pair in declared(estate)]
    subjects = {kind: components if kind is Kind.DOWN else list(estate.agreements) for kind in Kind}
    keys = [(kind, subject) for kind, names in subjects.items() for subject in names]
    if not any(pattern_matches(pattern, *key) for key in keys):
        known = [*components, *estate.agreements]
        hint = did_you_mean(pattern.rpartition(":")[2], known, otherwise="such as eu/api, 'eu/*' or 'burn:*'")
        raise UnknownSubject(f"{pattern!r} matches no component and no agreement", hint=hint)


def channel_findings(estate: Estate, config: Path) -> Sequence[Finding]:
    """Whether each channel's URL can be had and understood. Nothing is sent."""
    findings: list[Finding] = []
    for channel in estate.alerts.channels:
        subject = f"alerts/channels/{channel}"
        try:
            service = check_url(url_of(estate, config, channel))
        except HoldfastError as error:
            findings.append(Finding(subject, ok=False, text=str(error)))
        else:
            findings.append(
                Finding(subject, ok=True, text=f"{service}; to send: holdfast alert test {channel}")
            )
    return findings


async def send_test(estate: Estate, config: Path, channel: str | None) -> Mapping[str, Outcome]:
    """Really send a test message to one channel, or to every one. Raises UnknownChannel."""
    chosen = list(estate.alerts.channels) if channel is None else [channel]
    if not chosen or not estate.alerts.channels.keys() >= set(chosen):
        known = ", ".join(estate.alerts.channels) or "none; declare one under `alerts.channels`"
        raise UnknownChannel(f"there is no channel {channel or 'to test'!r}", hint=f"there are: {known}")
    now = datetime.now(UTC)
    notifier = AppriseNotifier(partial(url_of, estate, config))
    return await try_channels(notifier, {each: trial_message(each, now) for each in chosen})

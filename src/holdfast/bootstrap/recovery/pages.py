"""The console's pages of recovery, and what the API needs of it, over a pool of the console's login."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from holdfast.adapters.postgres.connect import Pool
from holdfast.bootstrap.recovery.addresses import facts_of
from holdfast.bootstrap.recovery.people import check_start, recovery_for_people, shelf_of
from holdfast.estate.model import Estate
from holdfast.interfaces.cli.ports import Place
from holdfast.interfaces.cli.recovery.runbook import runbook_text
from holdfast.interfaces.recovery_desk import RecoveryDesk
from holdfast.recovery.runbook import runbook_of
from holdfast.recovery.shelf import found_in


def recovery_desk(pool: Pool, estate: Callable[[], Estate], place: Place) -> RecoveryDesk:
    """For the estate in force at each call; the playbooks are those of the files at `place`."""

    def runbook(name: str, subject: str) -> str:
        shelf = shelf_of(estate(), place)
        playbook = found_in(shelf, name)
        made = runbook_of(playbook, facts_of(estate(), subject))
        return runbook_text(made, shelf[name].where, datetime.now(UTC))

    return RecoveryDesk(
        recovery_for_people(pool, estate, place),
        lambda: shelf_of(estate(), place),
        lambda: subjects_of(estate()),
        lambda playbook, subject: check_start(estate(), playbook, subject),
        runbook,
        lambda subject: facts_of(estate(), subject),
        lambda: recoverable_of(estate()),
    )


def recoverable_of(estate: Estate) -> Mapping[str, str]:
    """Databases whose tables' owner is declared, with their names."""
    declared = {} if estate.recovery is None else estate.recovery.databases
    return {key: each.name for key, each in estate.databases.items() if key in declared}


def subjects_of(estate: Estate) -> Mapping[str, str]:
    """What a playbook may work on, with its name: clusters, then databases."""
    databases = {key: each.name for key, each in estate.databases.items()}
    return {**databases, **{key: each.name for key, each in estate.clusters.items()}}

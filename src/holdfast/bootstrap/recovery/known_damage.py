"""What is known to be wrong with a cluster's data: then the other region has the same rows."""

from collections.abc import Sequence

from holdfast.estate.model import Estate
from holdfast.recovery.ports import RunStore

PUTS_BACK = "corruption"
"""The playbook that people begin because data is wrong."""


async def damage_of(cluster: str, estate: Estate, runs: RunStore) -> Sequence[str]:
    """The runs that put data of the cluster's databases back, as words; empty when there are none."""
    databases = {name for name, each in estate.databases.items() if each.cluster == cluster}
    return [
        f"run {run.id} ({run.playbook.name}) is under way on {run.subject}"
        for run in await runs.unfinished()
        if run.playbook.name == PUTS_BACK and run.subject in databases
    ]
